"""What does one step make the driver do: kernels, copies, synchronising calls, allocations?

Counted in the profiler's trace, and for ours by the native object as well. torch's scheduler launches nothing as long
as the rate is a number, so its optimizer is traced alone.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import torch

from benchmarks.gpu.bench import Bench, Figures
from benchmarks.gpu.turns import Call
from benchmarks.gpu.workload import RATE, Workload

TARGET = "ours 1 – 2 kernels per step (2 with clipping), 0 synchronising calls, 0 allocations in 100 steps"
GROUPS = (1, 2, 10, 100, 1000)
TENSORS, ELEMENTS = 1000, 64
STEPS, THEIRS = 100, 3


def count(bench: Bench, call: Call, steps: int) -> Figures:
    """Of some steps, after others that may have to prepare something."""
    for _ in range(3):
        call()
    trace = bench.device.trace(call, bench.device.steps(steps))
    if bench.device.captures and not trace.kernels:
        raise RuntimeError("the profiler saw no kernel: it may not be allowed to")
    return asdict(trace)


def measure(bench: Bench, title: str, groups: int) -> Figures:
    """One case."""
    work = Workload(bench.device, [(ELEMENTS,)] * TENSORS, groups)
    figures: Figures = dict(work.facts)
    for name, bound in {"lrdsl": None, "lrdsl, clip": 1.0}.items():
        opt = work.lrdsl(max_grad_norm=bound)
        opt.step()
        native = bench.device.object_of(opt)
        before = native.launches if native else 0
        opt.step()
        own = native.launches - before if native else None
        figures[name] = {"counted_by_ourselves": own, **count(bench, opt.step, STEPS)}
        figures[f"{name}, graph"] = count(bench, bench.device.captured(opt.step), STEPS)
    theirs = torch.optim.AdamW(work.torch_groups(work.parameters()), lr=RATE, fused=True)
    figures["torch fused"] = count(bench, theirs.step, THEIRS)
    for name, row in figures.items():
        if isinstance(row, dict):
            print(
                f"  {title}, {name}: {row['kernels']:g} kernels, {row['copies']:g} copies, {row['fills']:g} fills per "
                f"step; {row['synchronising']} synchronising and {row['allocating']} allocating calls "
                f"in {row['steps']} steps",
                flush=True,
            )
    return figures


def ask(bench: Bench) -> Figures:
    """All cases."""
    cases = {}
    for groups in GROUPS:
        title = f"{TENSORS} x {ELEMENTS}, {groups} group{'s' * (groups > 1)}"
        cases[title] = partial(measure, bench, title, groups)
    return bench.cases(cases)
