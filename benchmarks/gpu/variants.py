"""Which way of running the schedule on the device is the fastest: advance, early or ticket?

One optimizer, whose variant is set before every turn; captured once with each for the graphs, where ticket does not
apply. How many kernels an eager step launched is counted beside the time: a variant that does not apply falls back to
the first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.gpu.bench import Bench, Figures
from benchmarks.gpu.turns import Call
from benchmarks.gpu.workload import LARGE, SMALL, Workload, models
from benchmarks.shapes import Shape

TARGET = "decides which variant is kept; launches: advance 2, early 2, ticket 1"
VARIANTS = ("advance", "early", "ticket")
GROUPS = (1, 100)
TITLES = {variant: "lrdsl" if variant == "advance" else variant for variant in VARIANTS}
"""The first is what the others are compared with."""


def measure(bench: Bench, title: str, shapes: list[Shape], groups: int, graph: bool) -> Figures:
    """One case."""
    work = Workload(bench.device, shapes, groups)
    opt = work.lrdsl()
    opt.step()
    native = bench.device.object_of(opt)
    if native is None:
        raise RuntimeError("the optimizer's native object, whose variant is to be set, was not found")
    before = native.variant
    try:
        return {**work.facts, **_figures(bench, title, opt.step, native, graph)}
    finally:
        native.variant = before  # it may outlive the optimizer


def _figures(bench: Bench, title: str, step: Call, native: Any, graph: bool) -> Figures:
    chosen = {name: variant for variant, name in TITLES.items() if not (graph and variant == "ticket")}

    def choose(name: str) -> None:
        native.variant = chosen[name]

    launches = {}
    peers: dict[str, Callable[[], Any]] = {}
    for name, variant in chosen.items():
        choose(name)
        launched = native.launches
        step()
        launches[variant] = native.launches - launched
        peers[name] = bench.device.captured(step) if graph else step
    return {**bench.compare(title, peers, prepare=choose), "launches": launches}


def ask(bench: Bench) -> Figures:
    """All cases."""
    every = models(bench.device)
    cases = {}
    for model in (SMALL, LARGE):
        for groups in GROUPS:
            for graph in (False, True):
                how = "graph" if graph else "eager"
                title = f"{model}, {groups} group{'s' * (groups > 1)}, {how} (lrdsl is advance)"
                cases[title] = partial(measure, bench, title, every[model], groups, graph)
    return bench.cases(cases)
