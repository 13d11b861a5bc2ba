"""How long does one step keep the host, schedule included?

The device is idle before every call, so nothing waits for a place in its queue.
"""

from __future__ import annotations

from functools import partial

from benchmarks.gpu.bench import Bench, Figures
from benchmarks.gpu.turns import Call
from benchmarks.gpu.workload import Workload

TARGET = "300 tensors: ≤ 80 µs; 100 groups: torch takes ≥ 20× as long"
TENSORS, ELEMENTS = 300, 768
GROUPS = (1, 100)


def measure(bench: Bench, title: str, groups: int) -> Figures:
    """One case."""
    work = Workload(bench.device, [(ELEMENTS,)] * TENSORS, groups)
    peers: dict[str, Call] = {
        "lrdsl": work.lrdsl().step,
        "lrdsl, graph": bench.device.captured(work.lrdsl().step),
        "torch fused, fixed rate": work.torch_step(scheduled=False, fused=True),
        "torch fused + SequentialLR": work.torch_step(fused=True),
        "torch foreach + SequentialLR": work.torch_step(foreach=True),
        "torch fused + SequentialLR, graph": work.torch_step(graph=True, fused=True),
    }
    return {**work.facts, **bench.compare(title, peers, ("host",))}


def ask(bench: Bench) -> Figures:
    """All cases."""
    cases = {}
    for groups in GROUPS:
        title = f"{TENSORS} x {ELEMENTS}, {groups} group{'s' * (groups > 1)}"
        cases[title] = partial(measure, bench, title, groups)
    return bench.cases(cases)
