"""How near is an update to what the memory allows?

The limit pattern is our own loop over the same streams (read p, g, m, v; write p, m, v), with three additions per
element in place of Adam. Its ratio to ours is the share of the limit that we reach.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch

from benchmarks.harness import compare, interleave, save, table
from benchmarks.peers import fused, gradients, ours, parameters, sequential_lr, stepped
from benchmarks.shapes import Shape, gpt2, resnet50, vit_b16
from lrdsl.evaluators import native

LIMIT = 2
"""The kind of step that is no optimizer."""
CASES: dict[str, list[Shape]] = {
    "1 x 50 M": [(50_000_000,)],
    "ResNet-50": resnet50(),
    "ViT-B/16": vit_b16(),
    "GPT-2 124M": gpt2(),
}
ROUNDS = 25


class Pattern:
    """The limit pattern over tensors of its own."""

    def __init__(self, module: ModuleType, shapes: Sequence[Shape]) -> None:
        params = parameters(shapes)
        streams: dict[str, Sequence[torch.Tensor]] = {
            "p": params,
            "g": gradients(params),
            "m": [torch.zeros_like(p) for p in params],
            "v": [torch.zeros_like(p) for p in params],
        }
        self._rows, self._hypers, self._control = (
            np.zeros(length, record(getattr(module, f"{name}_DTYPE"), getattr(module, f"{name}_SIZE")))
            for name, length in (("ROW", len(params)), ("HYPER", 1), ("CONTROL", 1))
        )
        for column, tensors in streams.items():
            self._rows[column] = [tensor.data_ptr() for tensor in tensors]
        self._rows["n"] = [p.numel() for p in params]
        self._streams = streams  # keeps the memory
        self._step = module.step

    def __call__(self) -> None:
        """Walk over everything once."""
        rows, hypers, control = (table.ctypes.data for table in (self._rows, self._hypers, self._control))
        self._step(LIMIT, rows, len(self._rows), hypers, 1, control, torch.get_num_threads())


def record(fields: Sequence[tuple[str, str, int]], size: int) -> Any:
    """The NumPy type of a native record."""
    names, formats, offsets = zip(*fields, strict=True)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


def measure(module: ModuleType, shapes: Sequence[Shape]) -> dict[str, dict[str, float]]:
    """One case."""
    opt = fused(parameters(shapes))
    peers: dict[str, Callable[[], Any]] = {
        "lrdsl": ours(parameters(shapes)).step,
        "limit pattern": Pattern(module, shapes),
        "torch fused + SequentialLR": stepped(opt, sequential_lr(opt)),
    }
    return compare(interleave(peers, rounds=ROUNDS, repeat=1))


def main() -> None:
    """Measure, print, keep."""
    module = native.extension()
    if module is None:
        print(f"the limit pattern needs the native module: {native.reason()}")
        return
    results = {}
    for name, shapes in CASES.items():
        results[name] = measure(module, shapes)
        table(f"AdamW fp32, {name} ({torch.get_num_threads()} threads)", results[name])
    save("limit", results)


if __name__ == "__main__":
    main()
