"""A schedule beside any optimizer: torch's own schedulers, the curve, cut runs, nesting, tensors."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from torch.optim import lr_scheduler as torchs  # noqa: E402

import lrdsl  # noqa: E402
from lrdsl.optim.adapter import _check_device  # noqa: E402
from tests.optim.peers import parameters  # noqa: E402
from tests.optim.test_state_dict import through_a_file  # noqa: E402

PLATEAU = "warmup(3) >> linear(20, to=0.1x) | plateau(patience=1, factor=0.5)"


def sgd(*rates: Any, **options: Any) -> Any:
    groups = [{"params": [p], "lr": rate} for p, rate in zip(parameters([(3,)] * len(rates)), rates, strict=True)]
    return torch.optim.SGD(groups, **options)


def rates(optimizer: Any) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def curve(
    optimizer: Any, scheduler: Any, steps: int, report: Callable[[int], float] | None = None
) -> list[list[float]]:
    """The rates of that many updates; reports are made through ``step``."""
    seen = []
    for step in range(steps):
        seen.append(rates(optimizer))
        optimizer.step()
        scheduler.step() if report is None else scheduler.step(report(step))
    return seen


# --- values ---------------------------------------------------------------------------------------------------------

PEERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "LinearLR": ("linear(12, from=0.1x, to=1x)", lambda o: torchs.LinearLR(o, 0.1, 1.0, 12)),
    "CosineAnnealingLR": ("cosine(20, to=1e-3)", lambda o: torchs.CosineAnnealingLR(o, 20, 1e-3)),
    "StepLR": ("step(4, gamma=0.5)", lambda o: torchs.StepLR(o, 4, 0.5)),
    "ExponentialLR": ("exponential(0.9)", lambda o: torchs.ExponentialLR(o, 0.9)),
    "MultiStepLR": ("multistep([3, 8], gamma=0.1)", lambda o: torchs.MultiStepLR(o, [3, 8], 0.1)),
    "ConstantLR": ("constant(0.5x, 6) >> constant(1x)", lambda o: torchs.ConstantLR(o, 0.5, 6)),
    "PolynomialLR": ("polynomial(15, power=0.9)", lambda o: torchs.PolynomialLR(o, 15, 0.9)),
}


@pytest.mark.parametrize("name", PEERS)
def test_torchs_schedulers(name: str) -> None:
    text, peer = PEERS[name]
    ours, theirs = sgd(0.5, 0.02), sgd(0.5, 0.02)
    a = curve(ours, lrdsl.LRScheduler(ours, text), 20)
    b = curve(theirs, peer(theirs), 20)
    np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("tensor", [False, True], ids=["float", "tensor"])
def test_it_is_the_curve_to_the_bit(tensor: bool) -> None:
    text = "lr = warmup(5) >> cosine(rest); lr[1] = linear(2ep)"
    bases = [0.3, 0.07]
    optimizer = sgd(*(torch.tensor(base, dtype=torch.float64) if tensor else base for base in bases))
    scheduler = lrdsl.LRScheduler(optimizer, text, total_steps=30, steps_per_epoch=10)
    context = {"total_steps": 30, "steps_per_epoch": 10, "bases": {"lr[1]": bases[1]}}
    schedule = lrdsl.compile(text, base_lr=bases[0], **context)
    expected = [schedule.values("lr", range(40)).tolist(), schedule.values("lr", range(40), 1).tolist()]
    for step in range(40):
        assert rates(optimizer) == scheduler.get_last_lr() == scheduler.get_lr() == [row[step] for row in expected]
        assert scheduler._get_closed_form_lr() == scheduler.get_lr()
        assert (scheduler.last_epoch, scheduler._step_count) == (step, step + 1)
        optimizer.step()
        scheduler.step()
    assert scheduler.base_lrs == bases and scheduler.optimizer is optimizer
    assert [str(made) for made in scheduler.schedules] == [str(schedule)] * 2


def test_what_frameworks_look_at() -> None:
    scheduler = lrdsl.LRScheduler(sgd(1.0), "linear(10)", total_steps=10)
    assert isinstance(scheduler, torchs.LRScheduler)
    assert not isinstance(scheduler, torchs.ReduceLROnPlateau)
    assert not hasattr(scheduler, "total_steps")
    assert lrdsl.LRScheduler is lrdsl.optim.LRScheduler


def test_plain_numbers_and_params() -> None:
    optimizer = sgd(1.0)
    assert lrdsl.LRScheduler(optimizer, 0.25).get_last_lr() == [0.25]
    assert lrdsl.LRScheduler(optimizer, "constant(k)", params={"k": 0.125}).get_last_lr() == [0.125]
    assert optimizer.param_groups[0]["initial_lr"] == 1.0


def test_the_epoch_may_be_set_by_hand() -> None:
    optimizer = sgd(1.0)
    scheduler = lrdsl.LRScheduler(optimizer, "linear(10)")
    scheduler.last_epoch = 4
    assert scheduler.get_lr() == [0.6] and rates(optimizer) == [1.0]
    optimizer.step()
    scheduler.step()
    assert rates(optimizer) == [0.5]


def test_last_epoch_continues_as_in_torch() -> None:
    ours, theirs = sgd(1.0), sgd(1.0)
    for optimizer in (ours, theirs):
        optimizer.param_groups[0]["initial_lr"] = 0.5
    scheduler = lrdsl.LRScheduler(ours, "linear(10)", last_epoch=3)
    peer = torchs.LambdaLR(theirs, lambda step: 1 - step / 10, last_epoch=3)
    assert scheduler.last_epoch == peer.last_epoch == 4
    assert scheduler.get_last_lr() == pytest.approx(peer.get_last_lr())


# --- what is written ------------------------------------------------------------------------------------------------

TARGETS = {
    "AdamW": ("lr = linear(10); weight_decay = linear(10); beta1 = linear(10); beta2 = linear(10); eps = linear(10)"),
    "SGD": "lr = linear(10); momentum = linear(10); dampening = linear(10, from=0.1); weight_decay = linear(10)",
    "RMSprop": "momentum = linear(10); weight_decay = linear(10, from=0.2); eps = linear(10)",
    "Adafactor": "lr = linear(10); weight_decay = linear(10, from=0.2)",
}


@pytest.mark.parametrize("name", TARGETS)
def test_other_targets(name: str) -> None:
    options = {"lr": 0.5} | ({"momentum": 0.9} if name in ("SGD", "RMSprop") else {"weight_decay": 0.1})
    optimizer = getattr(torch.optim, name)(parameters([(3,)]), **options)
    (group,) = optimizer.param_groups
    before = {"beta1": 0.9, "beta2": 0.999} | {k: v for k, v in group.items() if isinstance(v, float | int)}
    scheduler = lrdsl.LRScheduler(optimizer, TARGETS[name])
    (schedule,) = scheduler.schedules
    for step in range(12):
        for target in ("lr", *schedule.targets):
            key, part = {"beta1": ("betas", 0), "beta2": ("betas", 1)}.get(target, (target, None))
            found = group[key] if part is None else group[key][part]
            assert found == schedule.value(target, step), (target, step)
            assert group[f"initial_{target}"] == before[target]
        optimizer.step()
        scheduler.step()
    again = lrdsl.LRScheduler(optimizer, TARGETS[name])
    assert again.state_dict()["groups"] == lrdsl.LRScheduler(optimizer, TARGETS[name]).state_dict()["groups"]
    assert again.schedules[0].context == schedule.context, "a second one starts from the same bases"


def test_a_target_that_is_not_there() -> None:
    optimizer = torch.optim.Adafactor(parameters([(3,)]))
    with pytest.raises(lrdsl.ScheduleError, match="this optimizer has no `eps`; it has lr, weight_decay"):
        lrdsl.LRScheduler(optimizer, "eps = linear(10)")
    with pytest.raises(lrdsl.ScheduleError, match="no parameter group is called `head`"):
        lrdsl.LRScheduler(optimizer, "lr[head] = linear(10)")
    assert "initial_lr" not in optimizer.param_groups[0]


@pytest.mark.parametrize("shape", [(), (1,)], ids=["0-dim", "one element"])
def test_a_tensor_stays_the_tensor_it_is(shape: tuple[int, ...]) -> None:
    rate, beta = torch.full(shape, 0.5), torch.tensor(0.9)
    optimizer = torch.optim.AdamW(parameters([(3,)]), lr=rate, betas=(beta, torch.tensor(0.999)), foreach=False)
    scheduler = lrdsl.LRScheduler(optimizer, "lr = linear(7); beta1 = linear(7)")
    for step in range(9):
        group = optimizer.param_groups[0]
        assert group["lr"] is rate and group["betas"][0] is beta and rate.shape == shape
        assert rate.item() == torch.tensor(scheduler.schedules[0].lr(step)).item()
        assert scheduler.get_last_lr() == [scheduler.schedules[0].lr(step)], "not rounded, and no read"
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["initial_lr"] == 0.5


def test_nothing_is_read_back_from_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer = sgd(torch.tensor(0.5), torch.tensor(0.25), momentum=0.9, foreach=False)
    scheduler = lrdsl.LRScheduler(optimizer, "hold() | plateau(patience=0)")
    optimizer.step()
    for name in ("item", "tolist", "__float__", "numpy", "cpu"):
        monkeypatch.setattr(torch.Tensor, name, lambda *_: pytest.fail("read"))
    scheduler.step(1.0)
    scheduler.step()
    scheduler.observe(2.0)
    scheduler.get_last_lr()


def test_a_rate_that_is_not_governed_is_left_alone() -> None:
    rate = torch.tensor(0.5)
    optimizer = torch.optim.AdamW(parameters([(3,)]), lr=rate)
    scheduler = lrdsl.LRScheduler(optimizer, "weight_decay = linear(10)")
    rate.fill_(0.25)
    optimizer.step()
    scheduler.step()
    (last,) = scheduler.get_last_lr()
    assert rate.item() == last == 0.25 and last is not rate


def test_groups_that_share_a_tensor() -> None:
    rate = torch.tensor(0.5)
    optimizer = sgd(rate, rate, foreach=False)
    lrdsl.LRScheduler(optimizer, "linear(10)")
    for text in ("lr = linear(10); lr[1] = cosine(10)", "lr[1] = linear(10)"):
        with pytest.raises(ValueError, match="groups 0 and 1 share one tensor as lr"):
            lrdsl.LRScheduler(optimizer, text)


def test_groups_replaced_by_a_load_are_found() -> None:
    optimizer = sgd(torch.tensor(1.0), 0.5, foreach=False)
    scheduler = lrdsl.LRScheduler(optimizer, "linear(10)")
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.step()
    scheduler.step()
    assert rates(optimizer) == [torch.tensor(0.9).item(), 0.45]
    optimizer.add_param_group({"params": parameters([(5,)])})
    with pytest.raises(RuntimeError, match="made for 2 parameter groups, now there are 3"):
        scheduler.step()


def test_an_unusable_rate_holds_the_last_one() -> None:
    optimizer = sgd(1.0)
    text = "expr(where(abs(step - 1003) < 1.5, 0 - base, base / (1 + step)), n=100000)"
    scheduler = lrdsl.LRScheduler(optimizer, text)
    scheduler.last_epoch = 1000
    optimizer.step()
    scheduler.step()
    with pytest.warns(RuntimeWarning, match="group 0: lr has no usable value at step 1002"):
        scheduler.step()
    saved = through_a_file(scheduler.state_dict())
    fresh = sgd(1.0)
    again = lrdsl.LRScheduler(fresh, text)
    with pytest.warns(RuntimeWarning, match="the last is held"):
        again.load_state_dict(saved)
    assert rates(fresh) == rates(optimizer) == [1 / 1002]
    for expected in (1 / 1002, 1 / 1002, 1 / 1006):
        scheduler.step()
        assert scheduler.get_lr() == rates(optimizer) == [expected]


# --- metrics --------------------------------------------------------------------------------------------------------


def losses(step: int) -> float:
    return 1.0 / (1 + step // 4)


def test_reports_are_those_of_a_schedule() -> None:
    optimizer = sgd(1.0)
    scheduler = lrdsl.LRScheduler(optimizer, PLATEAU)
    schedule = lrdsl.compile(PLATEAU, base_lr=1.0)
    for step in range(25):
        assert rates(optimizer) == [schedule.lr(step)]
        optimizer.step()
        scheduler.step(losses(step))
        schedule.observe(losses(step))
    ours, theirs = scheduler.schedules[0].state_dict(), schedule.state_dict()
    assert {**ours, "context": 0} == {**theirs, "context": 0}


def test_a_report_after_the_step_is_the_same() -> None:
    first, second = sgd(1.0), sgd(1.0)
    a, b = lrdsl.LRScheduler(first, PLATEAU), lrdsl.LRScheduler(second, PLATEAU)
    for step in range(25):
        for optimizer in (first, second):
            optimizer.step()
        a.step(losses(step))
        b.step()
        b.observe(torch.tensor([losses(step)], dtype=torch.float64))
        assert rates(first) == rates(second) == a.get_last_lr() == b.get_last_lr()
        assert a.state_dict() == b.state_dict()


def test_a_loss_with_its_graph_may_be_reported() -> None:
    w = torch.nn.Parameter(torch.tensor(2.0))
    optimizer = lrdsl.SGD([w], lr=1.0, schedule="hold() | plateau(patience=0)")
    beside = sgd(1.0)
    scheduler = lrdsl.LRScheduler(beside, "hold() | plateau(patience=0)")
    for _ in range(2):
        optimizer.observe(w * 3)
        scheduler.observe(w * 3)
    assert rates(optimizer) == rates(beside) == [0.1]


def test_torchs_plateau() -> None:
    ours, theirs = sgd(0.5), sgd(0.5)
    scheduler = lrdsl.LRScheduler(ours, "hold() | plateau(patience=1, factor=0.5)")
    peer = torchs.ReduceLROnPlateau(theirs, patience=1, factor=0.5)
    assert curve(ours, scheduler, 30, losses) == curve(theirs, peer, 30, losses)


def test_which_metric_a_step_reports() -> None:
    optimizer = sgd(1.0)
    alone = lrdsl.LRScheduler(optimizer, "hold() | plateau(metric=accuracy, mode=max, patience=0)")
    optimizer.step()
    alone.step(0.5)
    alone.step(0.5)
    assert rates(optimizer) == [0.1]
    text = "hold() | plateau(patience=0, factor=0.5) | plateau(metric=accuracy, patience=0)"
    several = lrdsl.LRScheduler(optimizer, text)
    several.step(1.0)
    several.step(1.0)
    assert rates(optimizer) == [0.5]
    several.observe(1.0, "accuracy")
    several.observe(1.0, metric="accuracy")
    assert rates(optimizer) == pytest.approx([0.05])


def test_reports_nobody_listens_to() -> None:
    optimizer = sgd(1.0)
    optimizer.step()
    scheduler = lrdsl.LRScheduler(optimizer, "linear(10)")
    before = scheduler.state_dict()
    for call in (lambda: scheduler.step(5), lambda: scheduler.observe(0.5), lambda: scheduler.observe(0.5, "f1")):
        with pytest.raises(lrdsl.ScheduleError) as caught:
            call()
        assert caught.value.code == "E0209"
    with pytest.raises(TypeError, match="expected a number"):
        scheduler.step("0.5")
    with pytest.raises(ValueError, match="one real number"):
        scheduler.observe(torch.zeros(2))
    assert scheduler.state_dict() == before


# --- checkpoints and copies -----------------------------------------------------------------------------------------

CUT = ["linear(12)", PLATEAU, "repeat(2, cosine(4), mult=2, gain=0.5)", "lr = linear(9); weight_decay = cosine(9)"]
CUT.append("beta1 = linear(9, to=0.5x); beta2 = cosine(9, to=0.9x); eps = linear(9); lr[1] = hold()")


def adamw(text: str) -> tuple[Any, Any]:
    params = parameters([(3,), (4,)])
    groups = [{"params": params[:1]}, {"params": params[1:], "lr": torch.tensor(0.02)}]
    optimizer = torch.optim.AdamW(groups, lr=0.5, weight_decay=0.1)
    return optimizer, lrdsl.LRScheduler(optimizer, text)


def standing(optimizer: Any, scheduler: Any) -> list[Any]:
    groups = [dict(group, params=0) for group in optimizer.param_groups]
    return [groups, scheduler.state_dict(), scheduler.get_last_lr()]


@pytest.mark.parametrize("order", ["optimizer first", "scheduler first", "made after the load"])
@pytest.mark.parametrize("text", CUT)
def test_resume_at_every_step(text: str, order: str) -> None:
    optimizer, scheduler = adamw(text)
    report = losses if "plateau" in text else None
    for step in range(25):
        states = through_a_file([optimizer.state_dict(), scheduler.state_dict()])
        fresh, again = adamw(text)
        if order == "scheduler first":
            again.load_state_dict(states[1])
        fresh.load_state_dict(states[0])
        if order == "made after the load":
            again = lrdsl.LRScheduler(fresh, text)
        if order != "scheduler first":
            again.load_state_dict(states[1])
        assert standing(fresh, again) == standing(optimizer, scheduler), f"loaded at {step}"
        for side, its in ((optimizer, scheduler), (fresh, again)):
            curve(side, its, 1, report and (lambda _, now=step: losses(now)))
        assert standing(fresh, again) == standing(optimizer, scheduler), f"one step after {step}"


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["deepcopy", "pickle"])
def test_copies(clone: Any) -> None:
    optimizer, scheduler = adamw(PLATEAU)
    curve(optimizer, scheduler, 7, losses)
    twin = clone(scheduler)
    assert twin.optimizer is not optimizer
    assert curve(twin.optimizer, twin, 12, losses) == curve(optimizer, scheduler, 12, losses)
    assert twin.state_dict() == scheduler.state_dict()


def test_another_schedule() -> None:
    optimizer, scheduler = adamw(PLATEAU)
    curve(optimizer, scheduler, 7, losses)
    saved = through_a_file(scheduler.state_dict())
    fresh, other = adamw("linear(10)")
    before = other.state_dict()
    with pytest.raises(lrdsl.ScheduleError, match="a different one") as caught:
        other.load_state_dict(saved)
    assert caught.value.code == "E0802" and other.state_dict() == before and rates(fresh)[0] == 0.5
    assert str(caught.value).endswith(
        "(make the scheduler with reschedule=True to run the new text from the saved step)"
    )
    other.load_state_dict(saved, reschedule=True)
    assert other.last_epoch == 7 and other.get_last_lr() == [other.schedules[0].lr(7), other.schedules[1].lr(7)]
    assert rates(fresh)[0] == other.schedules[0].lr(7)
    willing = lrdsl.LRScheduler(adamw("hold()")[0], "linear(10)", reschedule=True)
    willing.load_state_dict(saved)
    assert willing.state_dict() == other.state_dict()
    changed = torch.optim.SGD(parameters([(3,)]), lr=0.5, weight_decay=0.3)
    plain = torch.optim.SGD(parameters([(3,)]), lr=0.5)
    lrdsl.LRScheduler(changed, "linear(10)").load_state_dict(lrdsl.LRScheduler(plain, "linear(10)").state_dict())


def test_the_state_of_another_scheduler() -> None:
    """The message says how to take over from it."""
    first = torch.optim.SGD(parameters([(3,)]), lr=0.5)
    theirs = torch.optim.lr_scheduler.ExponentialLR(first, 0.5)
    for _ in range(4):
        first.step()
        theirs.step()
    second = torch.optim.SGD(parameters([(3,)]), lr=0.5)
    with pytest.raises(ValueError, match=r"then make this one, last_epoch=3$"):
        lrdsl.LRScheduler(second, "linear(10)").load_state_dict(theirs.state_dict())
    third = torch.optim.SGD(parameters([(3,)]), lr=0.5)
    third.load_state_dict(first.state_dict())
    ours = lrdsl.LRScheduler(third, "linear(10)", last_epoch=3)
    assert ours.last_epoch == theirs.last_epoch and rates(third) == [lrdsl.compile("linear(10)", base_lr=0.5).lr(4)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("groups"), "the keys"),
        (lambda s: s.update(total=1), "the keys"),
        (lambda s: s.update(last_epoch=-2), "last_epoch"),
        (lambda s: s.update(last_epoch=1.5), "last_epoch"),
        (lambda s: s.update(_step_count=True), "_step_count"),
        (lambda s: s.update(groups=3), "list of dictionaries"),
        (lambda s: s.update(groups=s["groups"][:1]), "2 groups, got 1"),
        (lambda s: s["groups"][0].update(schedule_step=-1), "schedule_step"),
        (lambda s: s["groups"][0].update(schedule_state=3), "text and numbers"),
    ],
)
def test_a_malformed_state(change: Any, message: str) -> None:
    optimizer, scheduler = adamw(PLATEAU)
    curve(optimizer, scheduler, 3, losses)
    before = scheduler.state_dict()
    state = copy.deepcopy(before)
    change(state)
    with pytest.raises(ValueError, match=message):
        scheduler.load_state_dict(state)
    assert scheduler.state_dict() == before
    with pytest.raises(ValueError, match=r"the state of an lrdsl\.LRScheduler"):
        scheduler.load_state_dict(torchs.StepLR(sgd(1.0), 3).state_dict())


# --- in other schedulers --------------------------------------------------------------------------------------------


def nested(optimizer: Any) -> Any:
    parts = [
        lrdsl.LRScheduler(optimizer, "linear(5, from=0.1x, to=1x)"),
        torchs.ExponentialLR(optimizer, 0.9),
        lrdsl.LRScheduler(optimizer, "cosine(6, to=0.1x) | plateau(patience=0)"),
    ]
    return torchs.SequentialLR(optimizer, parts, milestones=[5, 9])


def torchs_own(optimizer: Any) -> Any:
    parts = [
        torchs.LinearLR(optimizer, 0.1, 1.0, 5),
        torchs.ExponentialLR(optimizer, 0.9),
        torchs.LambdaLR(
            optimizer, [lambda s, b=b: lrdsl.compile("cosine(6, to=0.1x)", base_lr=b).lr(s) / b for b in BASES]
        ),
    ]
    return torchs.SequentialLR(optimizer, parts, milestones=[5, 9])


BASES = (0.5, 0.02)


@pytest.mark.filterwarnings("ignore:no `loss` was reported")
def test_nested_in_a_sequence() -> None:
    ours, theirs = sgd(*BASES), sgd(*BASES)
    np.testing.assert_allclose(curve(ours, nested(ours), 20), curve(theirs, torchs_own(theirs), 20), rtol=1e-12)


@pytest.mark.filterwarnings("ignore:no `loss` was reported")
def test_a_nested_run_resumes_at_every_step() -> None:
    optimizer = sgd(*BASES)
    scheduler = nested(optimizer)
    for step in range(18):
        states = through_a_file([optimizer.state_dict(), scheduler.state_dict()])
        fresh = sgd(*BASES)
        again = nested(fresh)
        fresh.load_state_dict(states[0])
        again.load_state_dict(states[1])
        assert rates(fresh) == rates(optimizer), f"loaded at {step}"
        for side, its in ((optimizer, scheduler), (fresh, again)):
            curve(side, its, 1)
        assert rates(fresh) == rates(optimizer), f"one step after {step}"
        assert again.state_dict() == scheduler.state_dict()


# --- refusals -------------------------------------------------------------------------------------------------------


def test_an_optimizer_with_a_schedule() -> None:
    optimizer = lrdsl.SGD(parameters([(3,)]), lr=1.0, schedule="hold()")
    with pytest.raises(ValueError, match=r"use `opt\.as_scheduler\(\)`, or drop `schedule=`"):
        lrdsl.LRScheduler(optimizer, "linear(10)")
    optimizer.step()


@pytest.mark.parametrize("lr", [1.0, torch.tensor(1.0)], ids=["float", "tensor"])
def test_ours_without_a_schedule(lr: Any) -> None:
    inside = lrdsl.AdamW(parameters([(3,)]), lr=1.0, schedule="linear(7)")
    optimizer = lrdsl.AdamW(parameters([(3,)]), lr=lr)
    scheduler = lrdsl.LRScheduler(optimizer, "linear(7)")
    for _ in range(9):
        assert rates(optimizer) == pytest.approx(rates(inside), rel=1e-7)
        for side in (optimizer, inside):
            side.param_groups[0]["params"][0].grad = torch.ones(3)
            side.step()
        scheduler.step()
    (p,), (q,) = (side.param_groups[0]["params"] for side in (optimizer, inside))
    assert torch.allclose(p, q) if isinstance(lr, torch.Tensor) else torch.equal(p, q)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"optimizer": 3}, TypeError, "an optimizer of torch, got int"),
        ({"text": "cosin(3)"}, lrdsl.ScheduleError, "cosin"),
        ({"text": None}, TypeError, "NoneType"),
        ({"last_epoch": -2}, ValueError, "last_epoch"),
        ({"last_epoch": 1.0}, ValueError, "last_epoch"),
        ({"last_epoch": 3}, KeyError, "initial_lr"),
        ({"device": 1}, TypeError, "device"),
        ({"device": True}, ValueError, r"group 0: device=True needs a tensor .*lr=torch\.tensor\("),
        ({"device": True, "text": "lr = hold(); weight_decay = hold()"}, ValueError, "governs weight_decay"),
    ],
)
def test_refusals_change_nothing(arguments: dict[str, Any], error: Any, message: str) -> None:
    optimizer = sgd(1.0)
    before = dict(optimizer.param_groups[0])
    with pytest.raises(error, match=message):
        lrdsl.LRScheduler(**{"optimizer": optimizer, "text": "hold()"} | arguments)
    assert optimizer.param_groups[0] == before and not hasattr(optimizer.step, "_wrapped_by_lr_sched")


def test_integer_rates() -> None:
    for lr in (1, 1.0):
        optimizer = sgd(lr)
        lrdsl.LRScheduler(optimizer, "constant(0.5x)")
        assert rates(optimizer) == [0.5]
    optimizer = sgd(1.0)
    optimizer.param_groups[0]["lr"] = torch.tensor(1)
    with pytest.raises(TypeError, match="a tensor of floats"):
        lrdsl.LRScheduler(optimizer, "hold()")


def test_device_mode_without_a_device_is_the_host() -> None:
    optimizer = sgd(torch.tensor(0.5), torch.tensor([0.25]), foreach=False)
    scheduler = lrdsl.LRScheduler(optimizer, PLATEAU, device=True)
    kept = [group["lr"] for group in optimizer.param_groups]
    other = sgd(torch.tensor(0.5), torch.tensor([0.25]), foreach=False)
    assert curve(optimizer, scheduler, 20, losses) == curve(other, lrdsl.LRScheduler(other, PLATEAU), 20, losses)
    assert all(group["lr"] is rate for group, rate in zip(optimizer.param_groups, kept, strict=True))
    with pytest.raises(ValueError, match="on one device, got cpu, meta"):
        _check_device([{"lr": torch.tensor(0.5, device=name)} for name in ("cpu", "meta")], scheduler.schedules)
