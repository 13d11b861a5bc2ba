"""`as_scheduler`: the shape of a scheduler, over an optimizer that has its own schedule."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

import lrdsl  # noqa: E402
from tests.optim.peers import STEPS, fill_gradients, fingerprint, parameters  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:no `loss` was reported")
TEXT = "warmup(4) >> cosine(6, to=0.1x) | plateau(patience=0, factor=0.5)"
CURVE = lrdsl.compile(TEXT, base_lr=0.1)


def optimizer(**more: Any) -> Any:
    return lrdsl.AdamW(parameters([(5,), (3, 4)]), **{"lr": 0.1, "schedule": TEXT} | more)


def update(opt: Any, seed: int) -> None:
    fill_gradients([p for group in opt.param_groups for p in group["params"]], seed=seed)
    opt.step()


@pytest.mark.parametrize("backend", STEPS)
def test_the_rate_just_used_then_the_next_one(backend: str) -> None:
    opt = optimizer(backend=backend)
    scheduler = opt.as_scheduler()
    assert scheduler.get_last_lr() == [CURVE.lr(0)]
    for step in range(12):
        update(opt, step)
        assert scheduler.get_last_lr() == [CURVE.lr(step)] and scheduler.last_epoch == step
        assert opt.lr_history(1)["lr"].tolist() == [CURVE.lr(step)]
        scheduler.step()
        assert scheduler.get_last_lr() == [CURVE.lr(step + 1)] and scheduler.last_epoch == step + 1


@pytest.mark.parametrize("calls", [0, 1, 2, 7])
def test_it_is_harmless_however_often_it_is_stepped(calls: int) -> None:
    stepped, alone = optimizer(), optimizer()
    scheduler = stepped.as_scheduler()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch's own would say that it was stepped before the optimizer
        for seed in range(8):
            for _ in range(calls):
                scheduler.step()
            update(stepped, seed)
            update(alone, seed)
    assert fingerprint(stepped) == fingerprint(alone)
    assert [group["lr"] for group in stepped.param_groups] == [group["lr"] for group in alone.param_groups]


def test_it_is_what_frameworks_look_for() -> None:
    scheduler = optimizer().as_scheduler()
    assert isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler) and isinstance(scheduler, lrdsl.LRScheduler)
    assert not isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
    assert not hasattr(scheduler, "total_steps")
    assert scheduler.base_lrs == [0.1] and scheduler.get_lr() == scheduler._get_closed_form_lr() == [0.0]


def test_the_optimizer_is_left_alone() -> None:
    opt = optimizer()
    before, step = fingerprint(opt), opt.step
    opt.as_scheduler()
    assert opt.step == step and fingerprint(opt) == before


def test_skipped_updates_do_not_move_it() -> None:
    opt = optimizer(skip_nonfinite=True)
    scheduler = opt.as_scheduler()
    update(opt, 0)
    scheduler.step()
    for p in opt.param_groups[0]["params"]:
        p.grad.fill_(torch.inf)
    opt.step()
    scheduler.step()
    assert opt.skipped == 1 and scheduler.last_epoch == 1 and scheduler.get_last_lr() == [CURVE.lr(1)]


def test_metrics_go_to_the_optimizer() -> None:
    opt, other = optimizer(), optimizer()
    scheduler = opt.as_scheduler()
    for seed in range(6):
        update(opt, seed)
        update(other, seed)
        scheduler.step(1.0) if seed % 2 else scheduler.observe(torch.tensor(1.0))
        other.observe(1.0)
        scheduler.step()
        assert scheduler.get_last_lr() == [other.param_groups[0]["lr"]] != [CURVE.lr(seed + 1)] or seed == 0
    with pytest.raises(lrdsl.ScheduleError, match="E0209"):
        scheduler.observe(1.0, "accuracy")
    with pytest.raises(lrdsl.ScheduleError, match="E0209"):
        optimizer(schedule="hold()").as_scheduler().step(1.0)


@pytest.mark.parametrize("backend", STEPS)
def test_reports_between_updates_show_in_the_rate_used(backend: str) -> None:
    opt = optimizer(backend=backend, schedule="hold() | plateau(patience=0, factor=0.5)")
    scheduler = opt.as_scheduler()
    for seed, rate in enumerate([0.1, 0.1, 0.05, 0.025]):  # the first report is the best so far
        assert scheduler.get_last_lr() == [rate] == [opt.param_groups[0]["lr"]]
        update(opt, seed)
        assert scheduler.get_last_lr() == [rate] == opt.lr_history(1)["lr"].tolist()
        scheduler.step()
        opt.observe(1.0)


@pytest.mark.parametrize("backend", ["python", "auto"])  # of what a device hears the host knows later
def test_what_an_update_hears_shows_in_the_rate_used(backend: str) -> None:
    opt = optimizer(backend=backend, schedule="hold() | plateau(metric=grad_norm, patience=0, factor=0.5, threshold=1)")
    scheduler = opt.as_scheduler()
    for seed, rate in enumerate([0.1, 0.05, 0.025]):
        update(opt, seed)
        assert scheduler.get_last_lr() == [rate] == opt.lr_history(1)["lr"].tolist()
        scheduler.step()


def test_rates_that_no_schedule_governs() -> None:
    first, second, third = parameters([(3,), (3,), (3,)])
    groups = [{"params": [first], "schedule": None, "lr": torch.tensor(0.25)}, {"params": [second]}]
    opt = lrdsl.SGD(groups, lr=1.0, schedule="linear(10)")
    scheduler = opt.as_scheduler()
    found = scheduler.get_last_lr()
    assert found == [0.25, 1.0] and found[0] is not opt.param_groups[0]["lr"]
    opt.add_param_group({"params": [third], "lr": 0.5})
    assert scheduler.get_lr() == [0.25, 1.0, 0.5] and scheduler.base_lrs == [0.25, 1.0, 0.5]


def test_tensor_rates_are_shown_as_exact_numbers() -> None:
    opt = optimizer(lr=torch.tensor(0.1))
    scheduler = opt.as_scheduler()
    for seed in range(6):
        update(opt, seed)
        scheduler.step()
    assert scheduler.get_last_lr() == [opt.schedules[0].lr(6)]


def test_checkpoints_are_the_optimizers() -> None:
    opt = optimizer()
    scheduler = opt.as_scheduler()
    for seed in range(5):
        update(opt, seed)
        scheduler.step()
    saved = copy.deepcopy(opt.state_dict()), scheduler.state_dict()
    assert saved[1]["last_epoch"] == 5
    twin = optimizer()
    follower = twin.as_scheduler()
    twin.load_state_dict(saved[0])
    follower.load_state_dict(saved[1])
    assert follower.last_epoch == 5 and follower.get_last_lr() == [CURVE.lr(5)]
    late = optimizer()
    follower = late.as_scheduler()
    follower.load_state_dict(saved[1])  # in the other order
    late.load_state_dict(saved[0])
    update(late, 5)
    follower.step()
    assert follower.last_epoch == 6 and follower.get_last_lr() == [CURVE.lr(6)]


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["deepcopy", "pickle"])
def test_copies_follow_their_own_optimizer(clone: Any) -> None:
    opt = optimizer()
    scheduler = opt.as_scheduler()
    update(opt, 0)
    scheduler.step()
    twin, follower = clone((opt, scheduler))
    assert follower.optimizer is twin
    update(twin, 1)
    follower.step()
    assert (scheduler.last_epoch, follower.last_epoch) == (1, 2)
    assert follower.get_last_lr() == [CURVE.lr(2)]
