"""What is compared: optimizers over the same parameters, ours with its schedule inside, torch's with a scheduler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, LRScheduler, SequentialLR

import lrdsl
from benchmarks.shapes import Shape

TEXT = "warmup(500) >> cosine(1_000_000, min=1e-6)"


def parameters(shapes: Sequence[Shape], dtype: torch.dtype = torch.float32) -> list[torch.nn.Parameter]:
    """Parameters with gradients."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for shape in shapes:
        parameter = torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype))
        parameter.grad = torch.randn(shape, generator=generator).to(dtype)
        made.append(parameter)
    return made


def gradients(params: Sequence[torch.nn.Parameter]) -> list[torch.Tensor]:
    """The gradients that there are."""
    return [p.grad for p in params if p.grad is not None]


def dealt(made: Sequence[torch.nn.Parameter], groups: int) -> list[dict[str, Any]]:
    """Parameters in groups, in turn."""
    return [{"params": made[index::groups]} for index in range(groups)]


def ours(params: Any, **options: Any) -> lrdsl.AdamW:
    """AdamW with the schedule inside."""
    return lrdsl.AdamW(params, lr=3e-4, schedule=TEXT, **options)


def fused(params: Any) -> torch.optim.AdamW:
    """torch's fused AdamW."""
    return torch.optim.AdamW(params, lr=3e-4, fused=True)


def stepped(opt: torch.optim.Optimizer, scheduler: LRScheduler) -> Callable[[], None]:
    """An update and its scheduler."""

    def step() -> None:
        opt.step()
        scheduler.step()

    return step


def lambda_lr(opt: torch.optim.Optimizer) -> LRScheduler:
    """The scheduler that people write themselves."""
    return LambdaLR(opt, lambda step: min(1.0, step / 500))


def sequential_lr(opt: torch.optim.Optimizer) -> LRScheduler:
    """The scheduler that says what our text says."""
    return SequentialLR(opt, [LinearLR(opt, 1e-8, 1.0, 500), CosineAnnealingLR(opt, 1_000_000, 1e-6)], [500])
