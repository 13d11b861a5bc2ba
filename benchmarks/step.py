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

from benchmarks.harness import compare, interleave, save, table
from benchmarks.peers import dealt, fused, lambda_lr, ours, parameters, sequential_lr, stepped
from lrdsl.evaluators import native

AVX2 = "avx2+fma"

# name: (tensors, elements each, groups, rounds, calls per round)
CASES = {
    "300 x 768, 1 group": (300, 768, 1, 60, 20),
    "300 x 4096, 1 group": (300, 4096, 1, 60, 10),
    "300 x 768, 100 groups": (300, 768, 100, 40, 5),
    "300 x 768, 300 groups": (300, 768, 300, 40, 3),
    "300 x 768, half the gradients in turn": (300, 768, 1, 40, 10),
    "1 x 20 M, 1 group": (1, 20_000_000, 1, 30, 2),
}


AGAIN_WITH_AVX2 = ("300 x 768, 1 group", "300 x 4096, 1 group", "300 x 768, 100 groups")
"""Measured a second time with the AVX2 code, where the CPU has better."""


def groups_of(count: int, size: int, groups: int) -> list[dict[str, Any]]:
    """Parameters of one size, dealt to groups."""
    return dealt(parameters([(size,)] * count), groups)


def alternating(step: Callable[[], Any]) -> Callable[[], Any]:
    """Steps where half of the parameters have a gradient, then the other half, as with two losses in turn."""
    params = [p for group in step.__self__.param_groups for p in group["params"]]  # type: ignore[attr-defined]
    gradients = [p.grad for p in params]
    half = 0

    def run() -> None:
        nonlocal half
        half = 1 - half
        for index, (parameter, gradient) in enumerate(zip(params, gradients, strict=True)):
            parameter.grad = gradient if index % 2 == half else None
        step()

    return run


def measure(name: str) -> dict[str, dict[str, float]]:
    """One case."""
    count, size, groups, rounds, repeat = CASES[name]
    peers: dict[str, Callable[[], Any]] = {
        "lrdsl": ours(groups_of(count, size, groups)).step,
        "torch fused, fixed rate": fused(groups_of(count, size, groups)).step,
    }
    if "in turn" in name:
        peers = {peer: alternating(step) for peer, step in peers.items()}
    else:
        for scheduler, make in {"LambdaLR": lambda_lr, "SequentialLR": sequential_lr}.items():
            opt = fused(groups_of(count, size, groups))
            peers[f"torch fused + {scheduler}"] = stepped(opt, make(opt))
    return compare(interleave(peers, rounds=rounds, repeat=repeat))


def main(wanted: str = "") -> None:
    """Measure, print, keep."""
    module = native.extension()
    best = module.isa() if module else "none"
    runs = [(name, best) for name in CASES]
    if module and best != AVX2 and AVX2 in module.isas():
        runs += [(name, AVX2) for name in AGAIN_WITH_AVX2]
    results = {}
    for name, isa in runs:
        if wanted not in name:
            continue
        if module:
            module.set_isa(isa)
        title = name if isa == best else f"{name}, {isa}"
        results[title] = measure(name)
        table(f"AdamW fp32, {title} ({torch.get_num_threads()} threads)", results[title])
    if module:
        module.set_isa(best)
    if not wanted:
        save("step", results)


if __name__ == "__main__":
    main(*sys.argv[1:])
