"""How long does a text take to become a schedule, and a million steps to become rates?"""

from __future__ import annotations

import itertools
import re
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import lrdsl
from benchmarks.harness import compare, interleave, save, table
from lrdsl import evaluators
from lrdsl.syntax import tables
from lrdsl.syntax.builder import Builder
from lrdsl.syntax.lalr import Parser
from lrdsl.syntax.parser import parse
from tests.language.corpus import ACCEPTED, CONTEXT

TEXT = "warmup({w}) >> cosine({n}, min=1e-6) | plateau(patience=3)"
BASES = {"weight_decay": 0.1, "momentum": 0.9, "beta1": 0.9}
STEPS = 1_000_000
TORCH_STEPS = 2_000


def median_ms(call: Callable[[int], object], repeats: int) -> float:
    """Median milliseconds of calls that get their number."""
    times = []
    for number in range(repeats):
        start = time.perf_counter()
        call(number)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def compile_unseen() -> float:
    """Milliseconds for a text the process has not seen, once it is warm."""
    lrdsl.compile(TEXT.format(w=1, n=2), base_lr=3e-4)
    return median_ms(lambda i: lrdsl.compile(TEXT.format(w=500 + i, n=10_000 + i), base_lr=3e-4), 300)


def compile_corpus() -> dict[str, float]:
    """Milliseconds for the texts of the specification, each made new by blanks; and of that, parsing."""
    whole, parsing = [], []
    for text in ACCEPTED:
        fresh = (text + " " * number for number in itertools.count(1))
        whole.append(median_ms(lambda _, fresh=fresh: lrdsl.compile(next(fresh), **CONTEXT, bases=BASES), 15))
        parsing.append(median_ms(lambda _, fresh=fresh: parse(next(fresh)), 15))
    tenth = statistics.quantiles(whole, n=10)[-1]
    return {"median": statistics.median(whole), "of that, parsing": statistics.median(parsing), "9 of 10": tenth}


def parser_ready() -> float:
    """Milliseconds from nothing to a parser, modules imported."""
    tables.load()
    return median_ms(lambda _: (re.purge(), Parser(tables.load(), Builder())), 30)


def million_steps() -> dict[str, dict[str, float]]:
    """A million consecutive steps per evaluator, against torch's scheduler; that one runs 2,000 and is scaled."""
    schedule = lrdsl.compile(TEXT.format(w=500, n=STEPS - 500), base_lr=3e-4)
    steps, state = np.arange(STEPS), schedule.tracks["lr", None].state
    live = ["native"] if evaluators.native.extension() is not None else []
    runs = {name: evaluators.evaluator(schedule.program(), name) for name in [*live, "vector"]}
    peers = {f"lrdsl, {name}": lambda run=run: run.values(steps, state) for name, run in runs.items()}
    peers["torch SequentialLR.step()"] = lambda: torch_scheduler(TORCH_STEPS)
    seconds = interleave(peers, rounds=15, repeat=1)
    scaled = {
        name: [t * STEPS / TORCH_STEPS if "torch" in name else t for t in times] for name, times in seconds.items()
    }
    return compare(scaled, ours=next(iter(scaled)))


def torch_scheduler(steps: int) -> None:
    """The same curve, stepped the torch way."""
    opt = torch.optim.SGD([torch.zeros(1)], lr=3e-4)
    warmup = torch.optim.lr_scheduler.LinearLR(opt, 1e-8, 1.0, 500)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(opt, STEPS - 500, 1e-6)
    scheduler = torch.optim.lr_scheduler.SequentialLR(opt, [warmup, cosine], [500])
    for _ in range(steps):
        opt.step()
        scheduler.step()


def main() -> None:
    """Measure, print, keep."""
    results: dict[str, Any] = {
        "parser_ready_ms": parser_ready(),
        "compile_unseen_ms": compile_unseen(),
        "compile_corpus_ms": compile_corpus(),
        "million_steps": million_steps(),
    }
    print(f"parser ready: {results['parser_ready_ms']:.2f} ms")
    print(f"compile of a text not seen before, warm: {results['compile_unseen_ms']:.3f} ms")
    print(f"compile of the texts in the specification: {results['compile_corpus_ms']}")
    table("1,000,000 steps", results["million_steps"])
    save("language", results)


if __name__ == "__main__":
    main()
