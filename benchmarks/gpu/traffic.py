"""How near is an update to what the memory allows?

The floor is what has to be read and written per parameter. The memory's speed is that of a large copy on the same
device, which takes its turn in the same rounds. Bytes per parameter are the kernel time at that speed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

import lrdsl
from benchmarks.gpu.bench import Bench, Figures, spread
from benchmarks.gpu.turns import Call
from benchmarks.gpu.workload import LARGE, RATE, Workload, models
from benchmarks.peers import gradients
from benchmarks.shapes import Shape

TARGET = "large models, AdamW fp32: ≥ 92 % of the copy's speed at 28 bytes; bf16 with masters ≤ 1.05 × 28 bytes"


@dataclass
class Kind:
    """An update.

    Attributes:
        floor: Bytes per parameter.
        options: Of our optimizer.
        peer: torch's with the same floor, if it has one.
    """

    floor: int
    options: dict[str, Any]
    peer: Callable[..., torch.optim.Optimizer] | None = None
    optimizer: type[lrdsl.SGD] | type[lrdsl.AdamW] = lrdsl.AdamW
    dtype: torch.dtype = torch.float32
    zeroes: bool = field(init=False)

    def __post_init__(self) -> None:
        self.zeroes = self.options.get("zero_grads", False)


CLIP, ZERO, MASTERS = {"max_grad_norm": 1.0}, {"zero_grads": True}, {"master_weights": True}
LOW = torch.bfloat16
KINDS = {
    "AdamW fp32": Kind(28, {}, torch.optim.AdamW),
    "AdamW fp32, amsgrad": Kind(36, {"amsgrad": True}, partial(torch.optim.AdamW, amsgrad=True)),
    "AdamW fp32, clip": Kind(32, CLIP),
    "AdamW fp32, zero": Kind(32, ZERO),
    "AdamW fp32, clip, zero": Kind(36, CLIP | ZERO),
    "AdamW bf16, fp32 state": Kind(22, {}, dtype=LOW),
    "AdamW bf16 with masters": Kind(28, MASTERS, dtype=LOW),
    "AdamW bf16 with masters, clip, zero": Kind(32, MASTERS | CLIP | ZERO, dtype=LOW),
    "SGD fp32": Kind(12, {}, torch.optim.SGD, lrdsl.SGD),
    "SGD fp32, momentum": Kind(20, {"momentum": 0.9}, partial(torch.optim.SGD, momentum=0.9), lrdsl.SGD),
}


def measure(bench: Bench, title: str, shapes: list[Shape], kind: Kind) -> Figures:
    """One case."""
    device = bench.device
    work = Workload(device, shapes, dtype=kind.dtype, own_gradients=kind.zeroes)
    made = work.parameters()
    filled = gradients(made)
    target, source = (torch.ones(device.copied // 4, device=device.place) for _ in range(2))
    calls: dict[str, Call] = {
        "lrdsl": work.lrdsl(made, kind=kind.optimizer, **kind.options).step,
        "copy": partial(target.copy_, source),
    }
    if kind.peer is not None:
        calls["torch fused, fixed rate"] = kind.peer(work.torch_groups(work.parameters()), lr=RATE, fused=True).step

    def refill(name: str) -> None:
        if name == "lrdsl" and kind.zeroes:
            torch._foreach_copy_(filled, work.gradients)

    turns = {name: device.turn("kernel", call, kind.zeroes) for name, call in calls.items()}
    seconds = bench.race(turns, refill)
    figures: Figures = {**work.facts, "floor": kind.floor, "rounds": len(seconds["lrdsl"])}
    figures["copy_bytes_per_second"] = spread([2 * device.copied / t for t in seconds["copy"]])
    for name in calls.keys() - {"copy"}:
        pairs = zip(seconds[name], seconds["copy"], strict=True)
        moved = [2 * device.copied / copy * t / work.facts["parameters"] for t, copy in pairs]
        figures[name] = {
            "kernel_us": spread([1e6 * t for t in seconds[name]]),
            "bytes_per_parameter": spread(moved),
            "share_of_copy": spread([kind.floor / each for each in moved]),
            **turns[name].notes(),
        }
    speed = figures["copy_bytes_per_second"]["median"] / 1e12
    shares = "; ".join(
        f"{name} {figures[name]['bytes_per_parameter']['median']:.1f} B, {figures[name]['share_of_copy']['median']:.1%}"
        for name in sorted(calls.keys() - {"copy"})
    )
    print(f"  {title}: floor {kind.floor} B, copy {speed:.2f} TB/s; {shares}", flush=True)
    return figures


def ask(bench: Bench) -> Figures:
    """All cases."""
    every = models(bench.device)
    sizes: dict[str, list[Shape]] = {"1 x 256 M": [(1 << 28,)], "GPT-2 124M": every["GPT-2 124M"], LARGE: every[LARGE]}
    cases = {}
    for model, shapes in sizes.items():
        for name, kind in KINDS.items():
            title = f"{model}, {name}"
            cases[title] = partial(measure, bench, title, shapes, kind)
    return bench.cases(cases)
