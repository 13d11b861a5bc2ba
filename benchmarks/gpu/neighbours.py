"""How long do unscaling, clipping, skipping on overflow, update, schedule and zeroing take together?

Ours does all of it in ``opt.step()``, with a scale in device memory; the second of ours is driven by torch's
``GradScaler``, which reads and writes the gradients once more to look for overflow. torch's users write ``unscale_``,
``clip_grad_norm_``, ``scaler.step``, ``scaler.update``, ``scheduler.step`` and ``zero_grad(set_to_none=False)``.

Gradients are filled anew before every call, outside the clock, for all peers from one and the same source. They are
large enough for the clipping to act.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.nn.utils import clip_grad_norm_

from benchmarks.gpu.bench import Bench, Figures
from benchmarks.gpu.step import DTYPES
from benchmarks.gpu.turns import Call
from benchmarks.gpu.workload import LARGE, RATE, Masters, Workload, models
from benchmarks.peers import gradients, sequential_lr
from benchmarks.shapes import Shape

TARGET = "torch takes ≥ 1.25× as long; ours is 2 launches"
SCALE = 1024.0
CLIP = 1.0

Peer = tuple[list[torch.nn.Parameter], Call]


def scaler_for(work: Workload) -> torch.amp.GradScaler:
    """torch's scaler; it makes its tensors at the first loss."""
    scaler = torch.amp.GradScaler(work.device.place.type, init_scale=SCALE, growth_interval=1_000_000)
    scaler.scale(torch.zeros((), device=work.device.place))
    return scaler


def own_scale(work: Workload, **options: Any) -> Peer:
    """One call."""
    made = work.parameters()
    opt = work.lrdsl(made, max_grad_norm=CLIP, skip_nonfinite=True, zero_grads=True, **options)
    opt.grad_scale = torch.tensor(SCALE, device=work.device.place)
    return made, opt.step


def under_scaler(work: Workload, **options: Any) -> Peer:
    """The same, driven by torch's scaler."""
    made = work.parameters()
    opt = work.lrdsl(made, max_grad_norm=CLIP, zero_grads=True, **options)
    scaler = scaler_for(work)

    def run() -> None:
        scaler.step(opt)
        scaler.update()

    return made, run


def torch_loop(work: Workload, **options: Any) -> Peer:
    """What a training loop calls between two backward passes."""
    made = work.parameters()
    masters = Masters(made)
    opt = torch.optim.AdamW(work.torch_groups(masters.stepped), lr=RATE, fused=True)
    scheduler, scaler = sequential_lr(opt), scaler_for(work)

    def run() -> None:
        masters.take_gradients()
        scaler.unscale_(opt)
        clip_grad_norm_(masters.stepped, CLIP)
        scaler.step(opt)
        scaler.update()
        scheduler.step()
        masters.give_back()
        masters.zero()

    return made, run


def measure(bench: Bench, title: str, shapes: list[Shape], dtype: torch.dtype) -> Figures:
    """One case."""
    work = Workload(bench.device, shapes, dtype=dtype, own_gradients=True)
    low = dtype != torch.float32
    peers = {
        "lrdsl": own_scale(work, master_weights=low),
        "lrdsl under GradScaler": under_scaler(work, master_weights=low),
        "torch GradScaler, clip_grad_norm_, fused + SequentialLR, zero": torch_loop(work),
    }
    filled = {name: gradients(made) for name, (made, _) in peers.items()}

    def refill(name: str) -> None:
        torch._foreach_copy_(filled[name], work.gradients)

    calls = {name: call for name, (_, call) in peers.items()}
    return {**work.facts, **bench.compare(title, calls, prepare=refill, once=True)}


def ask(bench: Bench) -> Figures:
    """All cases."""
    every = models(bench.device)
    cases = {}
    for model in ("ResNet-50", "GPT-2 124M", LARGE):
        for kind, dtype in DTYPES.items():
            title = f"{model}, {kind}"
            cases[title] = partial(measure, bench, title, every[model], dtype)
    return bench.cases(cases)
