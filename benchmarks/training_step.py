"""How long do clipping, update, schedule and zeroing take together, in fp32 and in bf16 with fp32 masters?

Ours does all of it in `opt.step()`. torch's users write `clip_grad_norm_`, `opt.step()`, `scheduler.step()` and
`zero_grad(set_to_none=False)`, which leaves what ours leaves: zeros in the same tensors. In bf16 they keep fp32 copies,
cast the gradients to them, and cast the result back.

Gradients are filled anew before every call, outside the clock, for all peers from one and the same source. They are
large enough for the clipping to act.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.utils import clip_grad_norm_

from benchmarks.harness import compare, interleave, save, table
from benchmarks.peers import fused, gradients, ours, parameters, sequential_lr, stepped
from benchmarks.shapes import Shape, gpt2, resnet50, vit_b16

MODELS = {"ResNet-50": resnet50(), "ViT-B/16": vit_b16(), "GPT-2 124M": gpt2()}
# name: (dtype, clip and zero)
CASES = {
    "step": (torch.float32, False),
    "clip, step, zero": (torch.float32, True),
    "bf16 with masters, step": (torch.bfloat16, False),
    "bf16 with masters, clip, step, zero": (torch.bfloat16, True),
}
ROUNDS = 25

Peer = tuple[list[torch.nn.Parameter], Callable[[], Any]]


def lrdsl_peer(shapes: Sequence[Shape], dtype: torch.dtype, everything: bool) -> Peer:
    """One call."""
    made = parameters(shapes, dtype)
    neighbours = {"max_grad_norm": 1.0, "zero_grads": True} if everything else {}
    return made, ours(made, master_weights=dtype != torch.float32, **neighbours).step


def torch_peer(shapes: Sequence[Shape], dtype: torch.dtype, everything: bool) -> Peer:
    """What a training loop calls between two backward passes."""
    made = parameters(shapes, dtype)
    masters = made if dtype == torch.float32 else with_gradients(made)
    opt = fused(masters)
    update = stepped(opt, sequential_lr(opt))
    own, upcast = gradients(made), gradients(masters)
    originals, sources = ([p.detach() for p in side] for side in (made, masters))

    def run() -> None:
        if masters is not made:
            torch._foreach_copy_(upcast, own)
        if everything:
            clip_grad_norm_(masters, 1.0)
        update()
        if masters is not made:
            torch._foreach_copy_(originals, sources)
        if everything:
            torch._foreach_zero_(own)  # what zero_grad(set_to_none=False) does

    return made, run


def with_gradients(made: Sequence[torch.nn.Parameter]) -> list[torch.nn.Parameter]:
    """Copies in fp32, with memory for their gradients."""
    masters = [torch.nn.Parameter(p.detach().float()) for p in made]
    for master in masters:
        master.grad = torch.zeros_like(master)
    return masters


def measure(shapes: Sequence[Shape], dtype: torch.dtype, everything: bool) -> dict[str, dict[str, float]]:
    """One case."""
    peers = {
        "lrdsl": lrdsl_peer(shapes, dtype, everything),
        "torch fused + SequentialLR": torch_peer(shapes, dtype, everything),
    }
    filled = {name: gradients(made) for name, (made, _) in peers.items()}
    source = [gradient.clone() for gradient in filled["lrdsl"]]

    def refill(name: str) -> None:
        torch._foreach_copy_(filled[name], source)

    calls = {name: call for name, (_, call) in peers.items()}
    return compare(interleave(calls, rounds=ROUNDS, repeat=1, prepare=refill))


def main(wanted: str = "") -> None:
    """Measure, print, keep."""
    results = {}
    for model, shapes in MODELS.items():
        for case, (dtype, everything) in CASES.items():
            name = f"{model}, {case}"
            if wanted in name:
                results[name] = measure(shapes, dtype, everything)
                table(f"AdamW, {name} ({torch.get_num_threads()} threads)", results[name])
    if not wanted:
        save("training_step", results)


if __name__ == "__main__":
    main(*sys.argv[1:])
