"""Schedules that listen to the norm of the gradients: the step that computes it, beside a loop written by hand.

The loop has torch's norm, torch's optimizers and torch's `ReduceLROnPlateau`, or the models of the specification.
"""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from torch.nn.utils import clip_grad_norm_, get_total_norm  # noqa: E402

import lrdsl  # noqa: E402
from tests.optim.peers import KINDS, STEPS, assert_close, fill_gradients, fingerprint, parameters, twins  # noqa: E402
from tests.primitives.models import Guard, Model, Normscale  # noqa: E402

SHAPES = [(5,), (4, 16), (0,), (1003,), (1,)]
GUARD = "guard(metric=grad_norm, spike=3, factor=0.1, recover=6)"


class Plateau:
    """Torch's."""

    def __init__(self) -> None:
        self.optimizer = torch.optim.SGD(parameters([(1,)]), lr=1.0)
        self.cuts = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizer, factor=0.5, patience=1, cooldown=1)

    def report(self, y: float, step: int, skipped: bool = False) -> None:
        if not skipped:
            self.cuts.step(y)

    def lr(self, v: float, step: int) -> float:
        return v * self.optimizer.param_groups[0]["lr"]


LISTENERS: dict[str, tuple[str, Any]] = {
    "normscale": ("normscale(20)", lambda: Normscale(20.0)),
    "plateau": ("plateau(metric=grad_norm, patience=1, factor=0.5, cooldown=1)", Plateau),
    "guard": (GUARD, lambda: Guard(spike=3, factor=0.1, recover=6)),
}


def size(step: int) -> float:
    """Of the gradients: mostly alike, sometimes far larger, or beyond all numbers."""
    return {5: 10.0, 12: 40.0, 13: math.inf, 14: math.nan, 20: 0.01}.get(step, 0.9**step + 0.1)


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_beside_a_loop_by_hand(kind: str, backend: str, listener: str, clip: float | None) -> None:
    text, make = LISTENERS[listener]
    model: Model = make()
    ours = parameters(SHAPES, torch.float64)
    theirs = twins(ours)
    schedule = f"linear(40, to=0.2x) | {text}"
    a = KINDS[kind].ours(ours, backend=backend, schedule=schedule, skip_nonfinite=True, max_grad_norm=clip)
    b = KINDS[kind].theirs(theirs, foreach=False)
    base, clock, rates = b.param_groups[0]["lr"], 0, []

    def rate() -> float:
        return model.lr(base * (1.0 - 0.8 * min(clock, 40) / 40), clock)

    for step in range(30):
        fill_gradients(ours, theirs, seed=step)
        for p in (*ours, *theirs):
            p.grad *= size(step)
        norm = get_total_norm([p.grad for p in theirs]).item()
        skipped = not math.isfinite(norm)
        model.report(norm, clock, skipped)
        if not skipped:
            if clip is not None:
                clip_grad_norm_(theirs, clip)
            b.param_groups[0]["lr"] = rate()
            rates.append(rate())
            b.step()
            clock += 1
        a.step()
        a.sync()
        assert a.grad_norm.item() == pytest.approx(norm, rel=1e-12, nan_ok=True)
        assert a.param_groups[0]["lr"] == pytest.approx(rate(), rel=1e-12), step  # of the next update, as far as known
        assert_close(ours, theirs, base)
    assert (a.clock, a.skipped) == (clock, 2)
    assert a.lr_history()["lr"].tolist() == pytest.approx(rates, rel=1e-12)
    assert any(later > rate for rate, later in pairwise(rates)) is (listener != "plateau")


@pytest.mark.parametrize("why", ["skip_nonfinite", "found_inf"])
@pytest.mark.parametrize("backend", STEPS)
def test_a_guard_hears_of_skipped_updates(backend: str, why: str) -> None:
    """The rate of the update that comes instead is cut already; clock, history and the others know nothing of it."""
    (p,) = parameters([(4,)])
    text = f"hold() | {GUARD} | plateau(metric=grad_norm, patience=0) | greedy(0, metric=grad_norm) | normscale(9)"
    optimizer = lrdsl.SGD([p], lr=1.0, schedule=text, skip_nonfinite=why == "skip_nonfinite", backend=backend)
    before = optimizer.schedules[0].state_dict()
    p.grad = torch.full((4,), math.inf)
    if why == "found_inf":
        optimizer.found_inf = torch.ones(())
    optimizer.step()
    optimizer.sync()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1) and len(optimizer.lr_history()) == 0
    after = optimizer.schedules[0].state_dict()
    told = after["modifiers"]["lr"].items() - before["modifiers"]["lr"].items()
    assert told == {("guard.scale", 0.1)} and after["observed"] == {}
    assert json.loads(optimizer.state_dict()["param_groups"][0]["schedule_state"])["lr"]["guard.scale"] == 0.1

    optimizer.found_inf = None
    p.grad = torch.full((4,), 0.5)
    start = p.detach().clone()
    optimizer.step()
    optimizer.sync()
    assert torch.allclose(p, start - 0.1 * p.grad / 0.95)  # greedy has taken the first norm that it heard of as better
    assert (optimizer.clock, optimizer.skipped) == (1, 1)
    assert optimizer.schedules[0].state_dict()["observed"] == {"grad_norm": 0}


@pytest.mark.parametrize("backend", STEPS)
def test_a_norm_without_faults_of_an_update_that_is_skipped(backend: str) -> None:
    """A scaler may have found overflow elsewhere: the norm counts as quiet, once."""
    (p,) = parameters([(4,)])
    optimizer = lrdsl.SGD([p], lr=1.0, schedule=f"hold() | {GUARD}", backend=backend)
    for found, norm, mean, count in ((1.0, 2.0, 2.0, 1), (1.0, 4.0, 3.0, 2), (0.0, 6.0, 4.0, 3)):
        p.grad = torch.full((4,), norm / 2)
        optimizer.found_inf = torch.tensor(found)
        optimizer.step()
        optimizer.sync()
        slots = optimizer.schedules[0].state_dict()["modifiers"]["lr"]
        assert (slots["guard.mean"], slots["guard.count"]) == (mean, count)
    assert (optimizer.clock, optimizer.skipped) == (1, 2)


@pytest.mark.parametrize("backend", STEPS)
def test_all_updates_skipped_and_none_applied(backend: str) -> None:
    """Cuts add up; parameters and state stay as they are."""
    params = parameters(SHAPES)
    optimizer = lrdsl.AdamW(params, lr=1.0, schedule=f"hold() | {GUARD}", skip_nonfinite=True, backend=backend)
    fill_gradients(params, seed=0)
    optimizer.init_state()
    before = [p.detach().clone() for p in params]
    params[0].grad[1] = math.nan
    for _ in range(3):
        optimizer.step()
    optimizer.sync()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-3, rel=1e-13)
    assert all(map(torch.equal, params, before)) and optimizer.clock == 0


@pytest.mark.parametrize("backend", STEPS)
def test_a_rate_that_is_a_tensor(backend: str) -> None:
    """Whoever keeps the tensor sees the cut."""
    (p,) = parameters([(4,)])
    rate = torch.tensor(1.0)
    optimizer = lrdsl.SGD([p], lr=rate, schedule=f"hold() | {GUARD}", skip_nonfinite=True, backend=backend)
    shown = optimizer.param_groups[0]["lr"]
    p.grad = torch.full((4,), math.inf)
    optimizer.step()
    optimizer.sync()
    assert shown.item() == pytest.approx(0.1) and optimizer.param_groups[0]["lr"] is shown


def test_a_copy_between_skips_goes_on_as_the_original() -> None:
    params = parameters(SHAPES)
    optimizer = lrdsl.AdamW(params, lr=1.0, schedule=f"cosine(40) | {GUARD}", skip_nonfinite=True)
    for step in range(12):
        other = lrdsl.AdamW(twins(params), lr=1.0, schedule=f"cosine(40) | {GUARD}", skip_nonfinite=True)
        other.load_state_dict(optimizer.state_dict())
        assert fingerprint(other) == fingerprint(optimizer)
        fill_gradients(params, seed=step)
        if step % 3 == 2:
            params[1].grad[0, 0] = math.inf
        for p, q in zip(params, other.param_groups[0]["params"], strict=True):
            q.grad = p.grad.clone()
        optimizer.step()
        other.step()
        assert fingerprint(other) == fingerprint(optimizer)
