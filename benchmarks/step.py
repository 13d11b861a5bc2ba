"""How long does one training step's update take, schedule included, against torch's fused AdamW?

Peers: torch fused with a rate that never moves, with `LambdaLR`, and with the
`SequentialLR` that says what our text says. Gradients are there already: this times
`opt.step()` (and `scheduler.step()`), nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch

import lrdsl
from benchmarks.harness import compare, interleave, save, table

TEXT = "warmup(500) >> cosine(1_000_000, min=1e-6)"
# name: (tensors, elements each, groups, rounds, calls per round)
CASES = {
    "300 x 768, 1 group": (300, 768, 1, 60, 20),
    "300 x 4096, 1 group": (300, 4096, 1, 60, 10),
    "300 x 768, 100 groups": (300, 768, 100, 40, 5),
    "300 x 768, 300 groups": (300, 768, 300, 40, 3),
    "300 x 768, half the gradients in turn": (300, 768, 1, 40, 10),
    "1 x 20 M, 1 group": (1, 20_000_000, 1, 30, 2),
}


def groups_of(count: int, size: int, groups: int) -> list[dict[str, Any]]:
    """Parameters with gradients, dealt to groups in turn."""
    generator = torch.Generator().manual_seed(0)
    parameters = []
    for _ in range(count):
        parameter = torch.nn.Parameter(torch.randn(size, generator=generator))
        parameter.grad = torch.randn(size, generator=generator)
        parameters.append(parameter)
    return [{"params": parameters[index::groups]} for index in range(groups)]


def ours(count: int, size: int, groups: int) -> Callable[[], Any]:
    """AdamW with the schedule inside."""
    return lrdsl.AdamW(groups_of(count, size, groups), lr=3e-4, schedule=TEXT).step


def fused(count: int, size: int, groups: int) -> torch.optim.AdamW:
    """torch's fused AdamW."""
    return torch.optim.AdamW(groups_of(count, size, groups), lr=3e-4, fused=True)


def stepped(opt: torch.optim.Optimizer, scheduler: torch.optim.lr_scheduler.LRScheduler) -> Callable[[], Any]:
    """An update and its scheduler."""

    def step() -> None:
        opt.step()
        scheduler.step()

    return step


def with_lambda(count: int, size: int, groups: int) -> Callable[[], Any]:
    """Fused AdamW with LambdaLR."""
    opt = fused(count, size, groups)
    return stepped(opt, torch.optim.lr_scheduler.LambdaLR(opt, lambda step: min(1.0, step / 500)))


def with_sequential(count: int, size: int, groups: int) -> Callable[[], Any]:
    """Fused AdamW with warm-up and cosine in sequence."""
    opt = fused(count, size, groups)
    warmup = torch.optim.lr_scheduler.LinearLR(opt, 1e-8, 1.0, 500)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(opt, 1_000_000, 1e-6)
    return stepped(opt, torch.optim.lr_scheduler.SequentialLR(opt, [warmup, cosine], [500]))


def alternating(step: Callable[[], Any]) -> Callable[[], Any]:
    """Steps where half of the parameters have a gradient, then the other half, as with two losses in turn."""
    parameters = [p for group in step.__self__.param_groups for p in group["params"]]  # type: ignore[attr-defined]
    gradients = [p.grad for p in parameters]
    half = 0

    def run() -> None:
        nonlocal half
        half = 1 - half
        for index, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
            parameter.grad = gradient if index % 2 == half else None
        step()

    return run


def main(wanted: str = "") -> None:
    """Measure, print, keep."""
    results = {}
    for name, (count, size, groups, rounds, repeat) in CASES.items():
        if wanted not in name:
            continue
        peers: dict[str, Callable[[], Any]] = {
            "lrdsl": ours(count, size, groups),
            "torch fused, fixed rate": fused(count, size, groups).step,
        }
        if "in turn" in name:
            peers = {peer: alternating(step) for peer, step in peers.items()}
        else:
            peers["torch fused + LambdaLR"] = with_lambda(count, size, groups)
            peers["torch fused + SequentialLR"] = with_sequential(count, size, groups)
        results[name] = compare(interleave(peers, rounds=rounds, repeat=repeat))
        table(f"AdamW fp32, {name} ({torch.get_num_threads()} threads)", results[name])
    if not wanted:
        save("step", results)


if __name__ == "__main__":
    main(*sys.argv[1:])
