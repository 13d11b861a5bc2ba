"""A schedule beside torch's own optimizers: one kernel writes their rates on the device, under replay too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

import lrdsl  # noqa: E402
from lrdsl.evaluators import native  # noqa: E402
from lrdsl.optim import accelerator, adapter  # noqa: E402
from tests.devices import Device, Gradients, bits  # noqa: E402
from tests.optim.peers import parameters  # noqa: E402

SHAPES = [(17, 5), (3,), (257,)]
TEXT = "warmup(7) >> cosine(300, min=0.01x) | plateau(patience=3, factor=0.9, metric=loss)"


@pytest.fixture(autouse=True)
def _on_the_emulated_device_too(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """There a CPU's rates are the device's, for a writer that would leave them to the host."""
    if not device.real:
        module = native.extension()
        assert module is not None
        monkeypatch.setattr(adapter, "accelerator_of", lambda _: accelerator.emulated(module))


def torchs(device: Device, groups: int = 1) -> tuple[Any, Any]:
    """Torch's optimizer with rates on the device, and its parameters."""
    params = device.parameters(parameters(SHAPES))
    parts = [params] if groups == 1 else [[p] for p in params]
    options: dict[str, Any] = {"fused": True, "capturable": True} if device.real else {"foreach": False}
    listed = [{"params": part, "lr": device.tensor(0.1 * (i + 1))} for i, part in enumerate(parts)]
    return torch.optim.AdamW(listed, **options), params


def on_device(optimizer: Any) -> Any:
    scheduler = lrdsl.LRScheduler(optimizer, TEXT, device=True)
    assert isinstance(scheduler._writer, adapter.DeviceWriter)
    return scheduler


@pytest.mark.parametrize("groups", [1, 3])
def test_rates_are_the_schedules(device: Device, groups: int) -> None:
    optimizer, params = torchs(device, groups)
    places = [group["lr"].data_ptr() for group in optimizer.param_groups]
    scheduler, gradients = on_device(optimizer), Gradients([params])
    references = [lrdsl.compile(TEXT, base_lr=float(np.float32(0.1 * (i + 1)))) for i in range(groups)]
    loss = device.tensor(1.0)
    for step in range(60):
        for group, schedule in zip(optimizer.param_groups, references, strict=True):
            assert group["lr"].item() == np.float32(schedule.lr(step))
        gradients.into(step)
        optimizer.step()
        if step % 3 == 1:
            loss.fill_(1.0 + step % 4)
            scheduler.observe(loss)
            for schedule in references:
                schedule.observe(1.0 + step % 4, step=step)
        scheduler.step()
    assert [group["lr"].data_ptr() for group in optimizer.param_groups] == places


def test_in_a_graph(device: Device) -> None:
    """Captured with the step where there is such a thing; the host's evaluator beside eager steps is the reference."""
    (captured, there), (eager, here) = torchs(device), torchs(device)
    gradients = Gradients([there, here])
    plain, scheduler = lrdsl.LRScheduler(eager, TEXT, device=False), on_device(captured)
    for step in range(3):
        gradients.into(step)
        for optimizer, schedule in ((captured, scheduler), (eager, plain)):
            optimizer.step()
            schedule.step()
    device.synchronize()

    def body() -> None:
        if device.real:
            captured.step()
        scheduler.step()

    replay = device.capture(body, scheduler)
    for step in range(3, device.amount(1000, 150)):
        gradients.into(step)
        if not device.real:
            captured.step()
        replay()
        eager.step()
        plain.step()
        assert step % 50 or captured.param_groups[0]["lr"].item() == eager.param_groups[0]["lr"].item()
    assert bits(captured) == bits(eager)
    assert captured.param_groups[0]["lr"].item() == eager.param_groups[0]["lr"].item()


def test_it_does_not_wait(device: Device) -> None:
    optimizer, params = torchs(device)
    scheduler, loss = on_device(optimizer), device.tensor(1.0)
    Gradients([params]).into(0)
    optimizer.step()
    scheduler.observe(loss)
    scheduler.step()
    with device.watched() as seen:
        for _ in range(20):
            scheduler.observe(loss)
            scheduler.step()
    assert (seen.waits, seen.allocations) == ([], [])
    assert not device.real or seen.kernels.total() == 40, seen.kernels
