"""How long does one update take, schedule included, against torch's fused and foreach AdamW and their scheduler?

Eager, and as a replayed graph: then torch's rate is a tensor that the scheduler writes between replays. In bf16 both
keep float32 masters; torch's users copy them back and forth.
"""

from __future__ import annotations

from functools import partial

import torch

from benchmarks.gpu.bench import Bench, Figures
from benchmarks.gpu.turns import Call
from benchmarks.gpu.workload import Workload, models
from benchmarks.shapes import Shape

TARGET = (
    "torch fused + its scheduler takes ≥ 1.00× by the kernel clock on large models; ≥ 2× by the wall clock eager, "
    "ResNet-50 and ViT-B/16; ≥ 5× with 100 groups on small models; bf16 with masters: apex and TransformerEngine ≥ 1.2×"
)
GROUPS = (1, 2, 100)
DTYPES = {"fp32": torch.float32, "bf16 with masters": torch.bfloat16}


def measure(bench: Bench, title: str, shapes: list[Shape], groups: int, dtype: torch.dtype, graph: bool) -> Figures:
    """One case."""
    work = Workload(bench.device, shapes, groups, dtype)
    low = dtype != torch.float32
    step = work.lrdsl(master_weights=low).step
    peers: dict[str, Call] = {"lrdsl": bench.device.captured(step) if graph else step}
    peers["torch fused + SequentialLR"] = work.torch_step(graph=graph, fused=True)
    absent: dict[str, str] = {}
    if graph:
        peers["torch fused, fixed rate"] = work.torch_step(graph=True, scheduled=False, fused=True)
    else:
        peers["torch foreach + SequentialLR"] = work.torch_step(foreach=True)
        others, absent = work.elsewhere() if low else ({}, {})
        peers |= others
    return {**work.facts, **bench.compare(title, peers), "absent": absent}


def ask(bench: Bench) -> Figures:
    """All cases."""
    cases = {}
    for model, shapes in models(bench.device).items():
        for kind, dtype in DTYPES.items():
            for groups in GROUPS:
                for graph in (False, True):
                    title = f"{model}, {kind}, {groups} group{'s' * (groups > 1)}, {'graph' if graph else 'eager'}"
                    cases[title] = partial(measure, bench, title, shapes, groups, dtype, graph)
    return bench.cases(cases)
