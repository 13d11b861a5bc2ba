"""Another text in the middle of a run is what a new optimizer makes of the checkpoint."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

import lrdsl  # noqa: E402
from tests.optim.peers import BACKENDS, fill_gradients, fingerprint, parameters  # noqa: E402
from tests.optim.test_state_dict import through_a_file  # noqa: E402

TRUNK = "warmup(3) >> hold() | plateau(patience=0, factor=0.5)"
TEXTS = {
    "a decay": "linear(10, to=0.1x)",
    "listening as well": "cosine(20) | plateau(patience=1, factor=0.5)",
    "another target": "lr = linear(20); weight_decay = linear(20, from=0.1, to=0.3)",
    "not the rate": "weight_decay = linear(20, from=0.1, to=0.3)",
    "one group": "lr = linear(20); lr[head] = linear(30, from=2x)",
    "the rest": "linear(rest)",
    "a number": 0.25,
    "the same": TRUNK,
}
# A branch of the same text is one if it is asked for; a load would go on with it.
WAYS = [(name, branch) for name in TEXTS for branch in (False, True) if not (branch and name == "the same")]


def make(text: Any, reschedule: Any = False, **options: Any) -> tuple[Any, list[Any]]:
    params = parameters([(7,), (3, 4)])
    lr = options.pop("lr", 0.8)
    groups = [{"params": params[:1]}, {"params": params[1:], "lr": lr / 2, "name": "head"}]
    made = lrdsl.AdamW(groups, lr=lr, weight_decay=0.2, schedule=text, reschedule=reschedule, total_steps=30, **options)
    return made, params


def advance(optimizer: Any, params: list[Any], steps: range) -> None:
    for step in steps:
        fill_gradients(params, seed=step)
        optimizer.step()
        if any("loss" in schedule.metrics for schedule in optimizer.schedules if schedule):
            optimizer.observe(1.0)


def loaded(optimizer: Any, params: list[Any], *arguments: Any, **options: Any) -> tuple[Any, list[Any]]:
    """A new optimizer that takes over from the checkpoint of another one."""
    fresh, copies = make(*arguments, **options)
    fresh.load_state_dict(through_a_file(optimizer.state_dict()))
    with torch.no_grad():
        for p, q in zip(params, copies, strict=True):
            q.copy_(p)
    return fresh, copies


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("lr", [0.8, torch.tensor(0.8)], ids=["float", "tensor"])
@pytest.mark.parametrize("before", [TRUNK, None], ids=["scheduled", "plain"])
@pytest.mark.parametrize(("name", "branch"), WAYS)
def test_it_is_what_loading_does(name: str, before: str | None, branch: bool, lr: Any, backend: str) -> None:
    options = {"lr": lr, "backend": backend}
    optimizer, params = make(before, **options)
    advance(optimizer, params, range(7))
    fresh, copies = loaded(optimizer, params, TEXTS[name], "branch" if branch else True, **options)
    rate = optimizer.param_groups[0]["lr"]
    optimizer.reschedule(TEXTS[name], branch=branch)
    assert optimizer.clock == 7
    assert not isinstance(rate, torch.Tensor) or optimizer.param_groups[0]["lr"] is rate
    for step in range(7, 20):
        assert fingerprint(optimizer) == fingerprint(fresh), f"at {step}"
        assert [str(s) for s in optimizer.schedules] == [str(s) for s in fresh.schedules]
        advance(optimizer, params, range(step, step + 1))
        advance(fresh, copies, range(step, step + 1))
    again, _ = loaded(optimizer, params, TEXTS[name], False, **options)
    assert fingerprint(again) == fingerprint(optimizer), "the new text is in the checkpoint"
    twin = pickle.loads(pickle.dumps(optimizer))
    assert twin.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]


def rates(optimizer: Any, steps: int, group: int = 0) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[group]["lr"])
        optimizer.step()
    return found


def test_the_same_text_goes_on_or_starts_anew() -> None:
    optimizer = lrdsl.SGD(parameters([(3,)]), lr=1.0, schedule="hold() | plateau(patience=0, factor=0.5)")
    for _ in range(3):
        optimizer.step()
        optimizer.observe(1.0)
    assert rates(optimizer, 1) == [0.25]
    optimizer.reschedule("hold()|plateau(patience=0,factor=0.5)")
    assert rates(optimizer, 1) == [0.25], "the cuts are kept"
    optimizer.reschedule("hold() | plateau(patience=0, factor=0.5)", branch=True)
    for _ in range(2):
        assert rates(optimizer, 1) == [0.25]
        optimizer.observe(1.0)
    assert rates(optimizer, 1) == [0.125], "the reports are not"


def test_a_decay_branched_off() -> None:
    optimizer = lrdsl.SGD(parameters([(3,)]), lr=1.0, schedule="constant(0.5)")
    rates(optimizer, 5)
    optimizer.reschedule("linear(4) >> constant(1x)", branch=True)
    assert rates(optimizer, 6) == [0.5, 0.375, 0.25, 0.125, 1.0, 1.0], "base is the constructor's"
    optimizer.reschedule("linear(22)")
    assert rates(optimizer, 1) == [0.5] and optimizer.clock == 12


def test_one_group() -> None:
    params = parameters([(3,), (4,), (5,)])
    groups = [{"params": [p], "name": name} for p, name in zip(params, ("body", "head", "head"), strict=True)]
    optimizer = lrdsl.SGD(groups, lr=1.0, schedule="hold()")
    optimizer.reschedule("constant(0.5)", group="head")
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 0.5, 0.5]
    optimizer.reschedule("constant(0.25)", group=2)
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 0.5, 0.25]
    assert [str(schedule) for schedule in optimizer.schedules] == ["hold()", "constant(0.5)", "constant(0.25)"]
    for wrong in ("tail", 3, -1, True):
        with pytest.raises(lrdsl.ScheduleError, match="no parameter group is called"):
            optimizer.reschedule("hold()", group=wrong)
    (late,) = parameters([(6,)])
    optimizer.add_param_group({"params": [late]})
    assert optimizer.param_groups[3]["lr"] == 1.0


def test_groups_that_come_later_run_the_new_text() -> None:
    first, second = parameters([(3,), (4,)])
    optimizer = lrdsl.SGD([first], lr=1.0, schedule="hold()")
    optimizer.reschedule("constant(0.5x)")
    optimizer.add_param_group({"params": [second], "lr": 4.0})
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 2.0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"text": "cosin(3)"}, lrdsl.ScheduleError, "cosin"),
        ({"text": "lr[tail] = hold()"}, lrdsl.ScheduleError, "no parameter group"),
        ({"text": "momentum = constant(0.5)"}, lrdsl.ScheduleError, "no `momentum`"),
        ({"text": "linear(3ep)"}, lrdsl.ScheduleError, "steps_per_epoch"),
        ({"text": None}, TypeError, "a schedule text or a number, got NoneType"),
        ({"text": "hold()", "branch": 1}, TypeError, "branch"),
        ({"text": "hold()", "group": "tail"}, lrdsl.ScheduleError, "no parameter group"),
    ],
)
def test_a_bad_text_changes_nothing(arguments: dict[str, Any], error: Any, message: str) -> None:
    optimizer, params = make(TRUNK)
    advance(optimizer, params, range(3))
    before, defaults = fingerprint(optimizer), dict(optimizer.defaults)
    with pytest.raises(error, match=message):
        optimizer.reschedule(**arguments)
    assert fingerprint(optimizer) == before and optimizer.defaults == defaults
    advance(optimizer, params, range(3, 5))


def test_it_does_not_hide_a_foreign_write() -> None:
    optimizer, _ = make(TRUNK)
    optimizer.param_groups[0]["lr"] = 0.3
    with pytest.raises(RuntimeError, match="another scheduler"):
        optimizer.reschedule("hold()")


def test_the_history_goes_on() -> None:
    optimizer = lrdsl.SGD(parameters([(3,)]), lr=1.0, schedule="hold()")
    rates(optimizer, 2)
    optimizer.reschedule("constant(0.5)")
    rates(optimizer, 1)
    assert optimizer.lr_history()["lr"].tolist() == [1.0, 1.0, 0.5]
