"""Scaled gradients with overflows, as torch's GradScaler feeds them: the CPU's run bit for bit."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from tests.devices import Device, Gradients, bits, plain_bytes  # noqa: E402
from tests.optim.peers import VARIANTS, parameters  # noqa: E402

SHAPES = [(17, 5), (3,), (257,), (0,)]
AROUND: dict[str, dict[str, Any]] = {
    "alone": {},
    "clip": {"max_grad_norm": 0.5},
    "guard": {"schedule": "warmup(30) >> cosine(700, min=0.1x) | guard(metric=grad_norm, spike=1.1, recover=9)"},
    "clip, skip and zero": {"max_grad_norm": 0.5, "skip_nonfinite": True, "zero_grads": True},
}


def _sides(device: Device, kind: str, dtype: torch.dtype, **options: Any) -> tuple[Any, Any, Gradients]:
    here = parameters(SHAPES, dtype)
    there = device.parameters(here)
    text = "warmup(30) >> cosine(700, min=0.1x)"
    options = {"schedule": text} | options
    cpu = VARIANTS[kind].ours(here, backend="native", **options)
    ours = VARIANTS[kind].ours(there, backend=device.backend, **options)
    return cpu, ours, Gradients([here, there], seed=1)


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("kind", ["adamw", "nesterov-decay-maximize"])
def test_overflows_at_random(device: Device, kind: str, around: str) -> None:
    cpu, ours, gradients = _sides(device, kind, torch.float32, **AROUND[around])
    scalers = [
        torch.amp.GradScaler(place, init_scale=2.0**10, growth_interval=7) for place in ("cpu", device.place.type)
    ]
    for scaler, place in zip(scalers, ("cpu", device.place), strict=True):
        scaler.scale(torch.zeros((), device=place))
    random, count, overflows = Random(kind + around), device.amount(1000, 150), 0
    for step in range(count):
        overflow = random.random() < 0.15
        overflows += overflow
        gradients.into(step, factor=float("inf") if overflow else scalers[0].get_scale())
        for scaler, side in zip(scalers, (cpu, ours), strict=True):
            scaler.step(side)
            scaler.update()
        if step % 100 == 0:
            assert scalers[0].get_scale() == scalers[1].get_scale()
    assert bits(ours) == bits(cpu)
    assert (ours.clock, ours.skipped) == (cpu.clock, cpu.skipped) == (count - overflows, overflows)
    assert ours.param_groups[0]["lr"] == cpu.param_groups[0]["lr"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_what_is_set_by_hand(device: Device, dtype: torch.dtype) -> None:
    """Either may be missing, and more than one device may have found something."""
    cpu, ours, gradients = _sides(device, "adamw", dtype, max_grad_norm=1.0)
    random = Random(5)
    for step in range(device.amount(500, 60)):
        scale, found = random.choice([None, 4.0, 1000.0]), random.choice([None, 0.0, 1.0, 2.0])
        gradients.into(step)
        for side, place in ((cpu, torch.device("cpu")), (ours, device.place)):
            side.grad_scale = None if scale is None else torch.tensor(scale, device=place)
            side.found_inf = None if found is None else torch.tensor(found, device=place)
            side.step()
    assert bits(ours) == bits(cpu) and ours.skipped == cpu.skipped > 0
    assert plain_bytes(ours.grad_norm) == plain_bytes(cpu.grad_norm)


def test_a_scaled_loop_in_a_graph(device: Device) -> None:
    """Scale and overflow are read where they are at each replay."""
    cpu, ours, gradients = _sides(device, "adamw", torch.float32, max_grad_norm=1.0, zero_grads=True)
    for side, place in ((cpu, torch.device("cpu")), (ours, device.place)):
        side.grad_scale, side.found_inf = torch.tensor(1.0, device=place), torch.tensor(0.0, device=place)
    gradients.into(0)
    ours.init_state()
    replay = device.capture(ours.step, ours)
    random = Random(6)
    for step in range(device.amount(1000, 150)):
        scale, found = 2.0 ** random.randrange(12), float(random.random() < 0.2)
        gradients.into(step, factor=scale)
        for side in (cpu, ours):
            side.grad_scale.fill_(scale)
            side.found_inf.fill_(found)
        cpu.step()
        replay()
    ours.sync()
    assert bits(ours) == bits(cpu)
    assert (ours.clock, ours.skipped) == (cpu.clock, cpu.skipped)
