"""The step beside torch's fused one, interleaved, so that only a ratio counts."""

from __future__ import annotations

import statistics
import time
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

import lrdsl  # noqa: E402
from tests.optim.peers import fill_gradients, needs_native, parameters  # noqa: E402

ROUNDS, STEPS = 15, 20


def seconds(optimizer: Any) -> float:
    start = time.perf_counter()
    for _ in range(STEPS):
        optimizer.step()
    return time.perf_counter() - start


@needs_native
@pytest.mark.timing
@pytest.mark.parametrize("groups", [1, 100])
def test_300_small_tensors(groups: int) -> None:
    sides = []
    for make in (lrdsl.AdamW, torch.optim.AdamW):
        params = parameters([(16,)] * 300)
        fill_gradients(params, seed=0)
        size = 300 // groups
        split = [{"params": params[i : i + size]} for i in range(0, 300, size)]
        ours = {"schedule": "warmup(500) >> cosine(10000)"} if make is lrdsl.AdamW else {"fused": True}
        sides.append(make(split, **ours))
    ratios = []
    for index in range(ROUNDS):
        order = sides if index % 2 else sides[::-1]
        taken = {id(side): seconds(side) for side in order}
        ratios.append(taken[id(sides[1])] / taken[id(sides[0])])
    assert statistics.median(ratios) > 3.0
