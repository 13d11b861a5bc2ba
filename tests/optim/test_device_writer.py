"""A schedule beside any optimizer, evaluated by a device: here the one that is none, whose memory is the host's."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch.nn import Parameter

import lrdsl
from lrdsl.evaluators import native
from lrdsl.optim import accelerator, adapter
from tests.optim.peers import needs_native

pytestmark = needs_native
TEXT = "warmup(5) >> cosine(40, to=0.1x) | plateau(patience=1, factor=0.5)"


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Whose launches are those of every scheduler that is made."""
    module = native.extension()
    assert module is not None
    found = accelerator.emulated(module)
    monkeypatch.setattr(adapter, "accelerator_of", lambda _: found)
    return found.handle


def made(text: str = TEXT, groups: int = 2, device: bool = True) -> Any:
    params = [{"params": [Parameter(torch.ones(3))], "lr": torch.tensor(0.1 * (1 + i))} for i in range(groups)]
    opt = torch.optim.SGD(params)
    return lrdsl.LRScheduler(opt, text, device=device)


def rates(scheduler: Any) -> list[float]:
    return [group["lr"].item() for group in scheduler.optimizer.param_groups]


def both(text: str = TEXT) -> tuple[Any, Any]:
    return made(text), made(text, device=False)


def run(scheduler: Any, steps: range) -> list[list[float]]:
    found = []
    for t in steps:
        scheduler.optimizer.step()
        scheduler.step()
        if t % 7 == 3 and scheduler.schedules[0].metrics:
            scheduler.observe(torch.tensor(float(t % 5)))
        found.append(rates(scheduler))
    return found


def test_as_on_the_host(device: Any) -> None:
    ours, host = both()
    assert rates(ours) == rates(host)
    before = device.launches
    assert run(ours, range(60)) == run(host, range(60))
    assert device.launches - before == 60 + sum(t % 7 == 3 for t in range(60))
    assert (ours.last_epoch, ours.get_last_lr()) == (host.last_epoch, host.get_last_lr())
    assert ours.get_last_lr() != [0.05, 0.1]  # the reports counted


def test_only_what_is_observed_is_a_norm(device: Any) -> None:
    """The optimizer beside it knows none that every update could report."""
    ours, host = both("hold() | plateau(metric=grad_norm, patience=1, factor=0.5)")

    def steps(count: int) -> None:
        for side in (ours, host):
            for _ in range(count):
                side.optimizer.step()
                side.step()

    for value, wanted in ((1.0, [0.1, 0.2]), (2.0, [0.1, 0.2]), (2.0, [0.05, 0.1])):
        for side in (ours, host):
            side.observe(torch.tensor(value), "grad_norm")
        steps(4)
        ours.sync()
        assert rates(ours) == rates(host) == pytest.approx(wanted)


def test_the_tensors_stay(device: Any) -> None:
    scheduler = made()
    tensors = [group["lr"] for group in scheduler.optimizer.param_groups]
    run(scheduler, range(10))
    assert all(group["lr"] is tensor for group, tensor in zip(scheduler.optimizer.param_groups, tensors, strict=True))


def test_replays_follow_the_schedule(device: Any) -> None:
    ours, host = both()
    loss = torch.tensor(0.0)
    run(ours, range(3))
    run(host, range(3))
    epoch, count, uploads = ours.last_epoch, ours._step_count, device.uploads
    device.begin_capture()
    ours.optimizer.step()
    ours.step()
    ours.observe(loss)
    graph = device.end_capture()
    assert (ours.last_epoch, ours._step_count) == (epoch, count)
    assert rates(ours) == rates(host)
    for t in range(30):
        loss.fill_(float(t % 4))
        device.replay(graph)
        host.step()
        host.observe(float(t % 4))
        assert rates(ours) == rates(host)
    assert device.uploads == uploads
    ours.sync()
    assert (ours.last_epoch, ours._step_count) == (host.last_epoch, host._step_count)
    assert run(ours, range(5)) == run(host, range(5))


def test_replays_follow_a_load(device: Any) -> None:
    ours, host = both()
    run(host, range(17))
    saved = host.state_dict()
    run(ours, range(2))
    device.begin_capture()
    ours.step()
    graph = device.end_capture()
    device.replay(graph)
    ours.load_state_dict(saved)
    assert rates(ours) == rates(host)
    for _ in range(5):
        device.replay(graph)
        host.step()
        assert rates(ours) == rates(host)
    assert ours.state_dict() == host.state_dict()


def test_a_report_with_the_step(device: Any) -> None:
    ours, host = both("hold() | plateau(patience=0, factor=0.5)")
    for loss in (1.0, 2.0, 0.5, 0.5, 3.0):
        for scheduler in (ours, host):
            scheduler.optimizer.step()
            scheduler.step(torch.tensor(loss))
        assert rates(ours) == rates(host)
    assert rates(ours) != [torch.tensor(0.1).item(), torch.tensor(0.2).item()]


def test_rates_of_another_load_are_found(device: Any) -> None:
    ours, host = both()
    for scheduler in (ours, host):
        run(scheduler, range(4))
        scheduler.optimizer.load_state_dict(copy.deepcopy(scheduler.optimizer.state_dict()))  # puts other tensors there
        scheduler.optimizer.step()
        scheduler.step()
    assert rates(ours) == rates(host)


def test_copies_go_on(device: Any) -> None:
    ours, host = both()
    run(ours, range(8))
    run(host, range(8))
    copied = pickle.loads(pickle.dumps(ours))
    assert run(copied, range(8)) == run(host, range(8))


def test_a_capture_refuses_what_would_wait(device: Any) -> None:
    scheduler = made()
    run(scheduler, range(4))
    before = rates(scheduler), scheduler.last_epoch
    device.begin_capture()
    try:
        with pytest.raises(RuntimeError, match="a number, which would be frozen"):
            scheduler.observe(1.0)
        with pytest.raises(RuntimeError, match="waits for the device"):
            scheduler.sync()
        with pytest.raises(RuntimeError, match="waits for the device"):
            scheduler.state_dict()
    finally:
        device.end_capture()
    assert (rates(scheduler), scheduler.last_epoch) == before


def test_an_unusable_value_holds_the_last_one(device: Any) -> None:
    scheduler = made("expr(where(step == 3, 0 / (t - 3), base / (1 + t)))")
    found = run(scheduler, range(5))
    assert found[2] == found[1]
    assert found[3] != found[2]


def test_replays_are_not_forgotten_when_the_rates_are_replaced(device: Any) -> None:
    scheduler = made("linear(10)")
    run(scheduler, range(1))
    device.begin_capture()
    scheduler.step()
    graph = device.end_capture()
    for _ in range(3):
        device.replay(graph)
    scheduler.optimizer.load_state_dict(copy.deepcopy(scheduler.optimizer.state_dict()))
    scheduler.sync()
    assert scheduler.last_epoch == 4
    scheduler.step()
    assert (scheduler.last_epoch, rates(scheduler)[0]) == (5, torch.tensor(0.05).item())


def test_a_copy_hears_and_is_captured_at_once(device: Any) -> None:
    scheduler = made("hold() | plateau(patience=0, factor=0.5)")
    run(scheduler, range(2))
    heard, recorded = (pickle.loads(pickle.dumps(scheduler)) for _ in range(2))
    for _ in range(2):
        heard.observe(1.0)
    assert rates(heard)[0] == torch.tensor(0.05).item()
    recorded.sync()
    device.begin_capture()
    recorded.step()
    device.replay(device.end_capture())
    recorded.sync()
    assert recorded.last_epoch == scheduler.last_epoch + 1


def test_steps_are_counted_over_replays(device: Any) -> None:
    scheduler = made("linear(10)")
    run(scheduler, range(1))
    device.begin_capture()
    scheduler.step()
    graph = device.end_capture()
    for _ in range(3):
        device.replay(graph)
    scheduler.optimizer.step()
    scheduler.step()
    assert (scheduler.last_epoch, scheduler._step_count) == (5, 6)
