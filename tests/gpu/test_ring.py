"""What the host learns without waiting, the clock and the rates; and what it sends without waiting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

import lrdsl  # noqa: E402
from tests.devices import Device, Gradients, bits, everything  # noqa: E402
from tests.optim.peers import KINDS, parameters  # noqa: E402

SHAPES = [(17, 5), (3,), (257,)]
TEXT = "warmup(7) >> cosine(600, min=0.01x)"
HISTORY = 256


def made(device: Device, text: str = TEXT, **options: Any) -> tuple[Any, Gradients]:
    params = device.parameters(parameters(SHAPES))
    optimizer = lrdsl.AdamW(params, lr=0.1, schedule=text, backend=device.backend, **options)
    return optimizer, Gradients([params])


@contextmanager
def behind(device: Device, optimizer: Any) -> Iterator[None]:
    """The device lags behind the host, as far as that can be arranged."""
    handle = device.handle(optimizer)
    if device.real:
        torch.cuda._sleep(20_000_000)
        yield
    else:
        handle.lag = 40
        yield
        handle.lag = 0
        handle.synchronize(0)


def assert_same_rates(found: Any, schedule: Any, steps: range) -> None:
    assert found["step"].tolist() == list(steps)
    expected = np.array([schedule.lr(step) for step in steps])
    assert (found["lr"].view(np.uint64) == expected.view(np.uint64)).all()


def test_a_forecast_without_skips_is_exact(device: Device) -> None:
    optimizer, gradients = made(device)
    schedule = lrdsl.compile(TEXT, base_lr=0.1)
    gradients.into(0)
    optimizer.step()
    with behind(device, optimizer):
        for step in range(1, 30):
            assert optimizer.param_groups[0]["lr"] == schedule.lr(step)
            optimizer.step()
    assert optimizer.clock == 30


def test_mirror_corrects_after_skip(device: Device) -> None:
    """A forecast may be wrong by the skips in flight, never by those that are over."""
    optimizer, gradients = made(device)
    schedule = lrdsl.compile(TEXT, base_lr=0.1)
    fine, infinite = device.tensor(0.0), device.tensor(1.0)
    optimizer.found_inf = fine
    gradients.into(0)
    optimizer.step()
    clock = 1
    for turn in range(device.amount(50, 12)):
        with behind(device, optimizer):
            for k in range(10):
                skip = (k + turn) % 4 == 0
                optimizer.found_inf = infinite if skip else fine
                optimizer.step()
                clock += not skip
                rate = optimizer.param_groups[0]["lr"]
                assert rate in {schedule.lr(step) for step in range(clock, clock + 11)}
        device.synchronize()
        optimizer.found_inf = fine
        optimizer.step()
        clock += 1
        assert optimizer.param_groups[0]["lr"] == schedule.lr(clock), "what was over when it was launched is known"
    assert optimizer.clock == clock
    assert optimizer.param_groups[0]["lr"] == schedule.lr(clock)


def test_reports_of_the_device_show_later(device: Device) -> None:
    text = "hold() | plateau(patience=1, factor=0.5, metric=loss)"
    optimizer, gradients = made(device, text)
    loss, schedule = device.tensor(1.0), lrdsl.compile(text, base_lr=0.1)
    gradients.into(0)
    for step in range(40):
        with behind(device, optimizer):
            optimizer.observe(loss)
            optimizer.step()
        schedule.observe(1.0, step=step)
    optimizer.sync()
    assert optimizer.param_groups[0]["lr"] == schedule.lr(40) < 0.01


def test_history_is_the_curve(device: Device) -> None:
    optimizer, gradients = made(device)
    schedule = lrdsl.compile(TEXT, base_lr=0.1)
    gradients.into(0)
    done = 0
    for upto in (3, HISTORY, HISTORY + 1, 700):
        for _ in range(done, upto):
            optimizer.step()
        done = upto
        device.synchronize()
        assert_same_rates(optimizer.lr_history(), schedule, range(max(0, upto - HISTORY), upto))
    assert_same_rates(optimizer.lr_history(5), schedule, range(695, 700))


def test_history_while_the_device_works(device: Device) -> None:
    """Whatever is read is true, and in order."""
    optimizer, gradients = made(device)
    schedule = lrdsl.compile(TEXT, base_lr=0.1)
    gradients.into(0)
    curve = np.array([schedule.lr(step) for step in range(1001)])
    with behind(device, optimizer):
        for step in range(1000):
            optimizer.step()
            if step % 10 == 0:
                found = optimizer.lr_history()
                assert (np.diff(found["step"]) > 0).all() and len(found) <= HISTORY
                assert (found["lr"] == curve[found["step"]]).all()
    assert optimizer.clock == 1000


def test_history_of_replays_and_groups(device: Device) -> None:
    params = device.parameters(parameters(SHAPES))
    groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.4}]
    optimizer = lrdsl.AdamW(groups, lr=0.1, schedule=TEXT, backend=device.backend)
    Gradients([params]).into(0)
    optimizer.init_state()
    replay = device.capture(optimizer.step, optimizer)
    for _ in range(300):
        replay()
    device.synchronize()
    found = optimizer.lr_history(20)
    assert found["group"].tolist() == [0, 1] * 20
    for index, base in enumerate((0.1, 0.4)):
        schedule = lrdsl.compile(TEXT, base_lr=base)
        assert_same_rates(found[found["group"] == index], schedule, range(280, 300))


def test_skipped_steps_have_no_history(device: Device) -> None:
    optimizer, gradients = made(device, skip_nonfinite=True)
    for step in range(30):
        gradients.into(step, factor=float("inf") if step % 3 == 0 else 1.0)
        optimizer.step()
    device.synchronize()
    assert_same_rates(optimizer.lr_history(), lrdsl.compile(TEXT, base_lr=0.1), range(20))


@pytest.mark.parametrize("kind", ["adamw", "momentum"])
def test_uploads_under_pressure(device: Device, kind: str) -> None:
    """New gradients at every step, at new addresses, and nobody waits: each launch has its own tables."""
    sides = [device.parameters(parameters(SHAPES)) for _ in range(2)]
    hurried, patient = (KINDS[kind].ours(side, backend=device.backend, schedule=TEXT) for side in sides)
    count = device.amount(1000, 200)
    bank = [[torch.randn_like(p) for p in sides[0]] for _ in range(37)]
    for side, optimizer in zip(sides, (hurried, patient), strict=True):
        kept = []
        for step in range(count):
            for p, grad in zip(side, bank[step % 37], strict=True):
                p.grad = grad.clone()
                kept.append(p.grad)
            optimizer.param_groups[0]["weight_decay"] = 0.001 * (step % 11)
            optimizer.step()
            if optimizer is patient:
                optimizer.sync()
    assert bits(hurried) == bits(patient)
    assert everything(hurried) == everything(patient)


@pytest.mark.parametrize("groups", [1, 300])
def test_a_long_queue(device: Device, groups: int) -> None:
    """More launches than fit into the device's queue, with tables that change."""
    params = device.parameters([torch.full((3,), float(i)) for i in range(groups)])
    twin = [p.detach().cpu().clone().requires_grad_() for p in params]
    made = [
        lrdsl.AdamW([{"params": [p]} for p in side], lr=0.1, schedule=TEXT, backend=backend)
        for side, backend in ((params, device.backend), (twin, "native"))
    ]
    for step in range(device.amount(2500, 30)):
        for side, optimizer in zip((params, twin), made, strict=True):
            for p in side:
                p.grad = torch.full_like(p, 1.0 + step % 5) if step % 50 == 0 or groups == 1 else p.grad
            optimizer.step()
    assert bits(made[0]) == bits(made[1])
