"""What comes and goes leaves nothing behind."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

import lrdsl  # noqa: E402
from tests.devices import Device, Gradients  # noqa: E402
from tests.optim.peers import parameters  # noqa: E402

MIB = 1 << 20
TEXT = "warmup(7) >> cosine(300, min=0.01x) | plateau(patience=3, factor=0.9, metric=loss)"


def live(device: Device, captures: bool) -> None:
    params = device.parameters(parameters([(100, 33), (3,), (0,)]))
    optimizer = lrdsl.AdamW(params, lr=0.1, schedule=TEXT, backend=device.backend, capturable=captures)
    Gradients([params], count=1).into(0)
    for _ in range(3):
        optimizer.observe(device.tensor(1.0))
        optimizer.step()
    if captures:
        replay: Any = device.capture(optimizer.step, optimizer)
        replay()
        optimizer.sync()
    optimizer.load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize("captures", [False, True], ids=["eager", "captured"])
def test_optimizers_come_and_go(device: Device, captures: bool) -> None:
    count = device.amount(1000 if not captures else 100, 100)
    for _ in range(count // 2):  # until caches are full
        live(device, captures)
    before = device.used()
    for _ in range(count):
        live(device, captures)
    assert device.used() - before <= 4 * MIB
