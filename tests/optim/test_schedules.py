"""Schedules inside the optimizers: the rates of torch's schedulers, every target, groups, observations, faults."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from torch.optim import lr_scheduler as schedulers  # noqa: E402

import lrdsl  # noqa: E402
from tests.optim.peers import BACKENDS, KINDS, assert_close, fill_gradients, parameters, twins  # noqa: E402

STEPS = 30
PEERS: dict[str, Callable[[Any], Any]] = {
    "cosine(20)": lambda o: schedulers.LambdaLR(o, lambda t: (1 + math.cos(math.pi * min(t, 20) / 20)) / 2),
    "warmup(5) >> linear(20, to=0.1x)": lambda o: schedulers.LambdaLR(
        o, lambda t: t / 5 if t < 5 else 1 - 0.9 * min(t - 5, 20) / 20
    ),
    "step(7, gamma=0.5)": lambda o: schedulers.StepLR(o, 7, gamma=0.5),
    "multistep([4, 9, 9], gamma=0.3)": lambda o: schedulers.MultiStepLR(o, [4, 9, 9], gamma=0.3),
    "exponential(0.9)": lambda o: schedulers.ExponentialLR(o, 0.9),
    "polynomial(25, power=2)": lambda o: schedulers.PolynomialLR(o, 25, power=2),
    "cycle(cosine(6, to=0))": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 6),
}


def rate(optimizer: Any, group: int = 0) -> float:
    return float(optimizer.param_groups[group]["lr"])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", PEERS)
def test_as_torch_with_its_scheduler(text: str, kind: str, backend: str) -> None:
    ours = parameters([(7,), (4, 16)])
    theirs = twins(ours)
    a = KINDS[kind].ours(ours, backend=backend, schedule=text)
    b = KINDS[kind].theirs(theirs, foreach=False)
    scheduler = PEERS[text](b)
    for step in range(STEPS):
        assert rate(a) == pytest.approx(rate(b), rel=1e-12, abs=1e-15), f"step {step}"
        fill_gradients(ours, theirs, seed=step)
        a.step()
        b.step()
        scheduler.step()
    assert a.clock == STEPS
    assert_close(ours, theirs, KINDS[kind].options["lr"], spread=4.0 / (1 - KINDS[kind].momentum))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("peer", ["StepLR", "OneCycleLR"])
def test_torchs_schedulers_work_without_schedule(peer: str, kind: str) -> None:
    ours = parameters([(7,), (4, 16)])
    theirs = twins(ours)
    a, b = KINDS[kind].ours(ours), KINDS[kind].theirs(theirs)
    has_momentum = KINDS[kind].name != "SGD" or KINDS[kind].momentum > 0
    options = {
        "StepLR": {"step_size": 7},
        "OneCycleLR": {"max_lr": 0.5, "total_steps": 60, "cycle_momentum": has_momentum},
    }
    attached = [getattr(schedulers, peer)(side, **options[peer]) for side in (a, b)]
    for step in range(20):
        fill_gradients(ours, theirs, seed=step)
        a.step()
        b.step()
        for scheduler in attached:
            scheduler.step()
        assert rate(a) == rate(b)
    assert_close(ours, theirs, 0.5, spread=8.0 / (1 - KINDS[kind].momentum))


@pytest.mark.parametrize("backend", BACKENDS)
def test_both_backends_publish_the_same_bits(backend: str) -> None:
    text = "lr = warmup(7) >> cosine(rest) * exponential(0.9, every=3); beta2 = cosine(total, from=0.99, to=0.9)"
    optimizer = lrdsl.Adam(parameters([(3,)]), lr=3e-4, schedule=text, total_steps=40, backend=backend)
    reference = lrdsl.compile(text, base_lr=3e-4, total_steps=40, bases={"beta2": 0.999})
    for step in range(50):
        group = optimizer.param_groups[0]
        assert (group["lr"], group["betas"][1]) == (reference.lr(step), reference.value("beta2", step))
        optimizer.step()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("kind", "text", "write"),
    [
        ("adamw", "weight_decay = linear(10, from=0.1, to=0.5)", lambda t: {"weight_decay": 0.1 + 0.04 * t}),
        ("adam", "beta1 = linear(10, from=0.8, to=0.9)", lambda t: {"betas": (0.8 + 0.01 * t, 0.999)}),
        ("adam", "beta2 = linear(10, from=0.9, to=0.95)", lambda t: {"betas": (0.9, 0.9 + 0.005 * t)}),
        (
            "amsgrad",
            "beta1 = linear(10, from=0.8, to=0.9); beta2 = linear(10, from=0.9, to=0.95)",
            lambda t: {"betas": (0.8 + 0.01 * t, 0.9 + 0.005 * t)},
        ),
        ("adam", "eps = linear(10, from=1e-3, to=1e-2)", lambda t: {"eps": 1e-3 + 9e-4 * t}),
        ("sgd", "weight_decay = linear(10, from=0.1, to=0.5)", lambda t: {"weight_decay": 0.1 + 0.04 * t}),
        ("momentum", "momentum = linear(10, from=0.5, to=0.9)", lambda t: {"momentum": 0.5 + 0.04 * t}),
        ("nesterov", "momentum = linear(10, from=0.5, to=0.9)", lambda t: {"momentum": 0.5 + 0.04 * t}),
        ("momentum", "dampening = linear(10, from=0, to=0.5)", lambda t: {"dampening": 0.05 * t}),
        # Off for the first four steps: the buffer starts with the gradient of the fifth.
        ("sgd", "momentum = constant(0, 4) >> constant(0.9)", lambda t: {"momentum": 0.0 if t < 4 else 0.9}),
        ("momentum", "momentum = constant(0.9, 4) >> constant(0)", lambda t: {"momentum": 0.9 if t < 4 else 0.0}),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_scheduled_targets(kind: str, text: str, write: Callable[[int], dict[str, Any]], backend: str) -> None:
    ours = parameters([(7,), (40,)])
    theirs = twins(ours)
    a = KINDS[kind].ours(ours, backend=backend, schedule=text)
    b = KINDS[kind].theirs(theirs, foreach=False)
    for step in range(10):
        b.param_groups[0].update(write(step))
        for key, value in write(step).items():
            assert a.param_groups[0][key] == pytest.approx(value, rel=1e-12), f"{key} at step {step}"
        fill_gradients(ours, theirs, seed=step)
        a.step()
        b.step()
    assert_close(ours, theirs, 0.1, spread=40.0)


def test_groups_have_their_own_base_and_schedule() -> None:
    body, head, tail = parameters([(3,), (3,), (3,)])
    optimizer = lrdsl.SGD(
        [
            {"params": [body]},
            {"params": [head], "lr": 0.5, "name": "head"},
            {"params": [tail], "schedule": "constant(0.25x)", "lr": 4.0},
        ],
        lr=0.1,
        schedule="lr = linear(10); lr[head] = linear(10, to=1x, from=0)",
    )
    assert [rate(optimizer, i) for i in range(3)] == [0.1, 0.0, 1.0]
    for _ in range(5):
        optimizer.step()
    assert [rate(optimizer, i) for i in range(3)] == [0.05, 0.25, 1.0]
    assert [group["initial_lr"] for group in optimizer.param_groups] == [0.1, 0.5, 4.0]
    assert [str(schedule) for schedule in optimizer.schedules] == [
        group["schedule"] for group in optimizer.param_groups
    ]


def test_groups_of_one_name_keep_their_bases() -> None:
    first, second = parameters([(3,), (3,)])
    groups = [{"params": [first], "name": "x", "lr": 1.0}, {"params": [second], "name": "x", "lr": 0.5}]
    optimizer = lrdsl.SGD(groups, schedule="lr[x] = linear(4)")
    optimizer.step()
    assert [rate(optimizer, i) for i in range(2)] == [0.75, 0.375]


def test_a_group_without_a_name_has_its_own_by_index() -> None:
    groups = [{"params": [p]} for p in parameters([(3,), (3,)])]
    optimizer = lrdsl.SGD(groups, lr=1.0, schedule="lr = constant(0.5); lr[1] = constant(0.25)")
    assert [rate(optimizer, i) for i in range(2)] == [0.5, 0.25]


def test_group_by_index_and_a_group_without_schedule() -> None:
    first, second, third = parameters([(3,), (3,), (3,)])
    groups = [{"params": [first]}, {"params": [second]}, {"params": [third], "schedule": None, "lr": 7.0}]
    optimizer = lrdsl.SGD(groups, lr=1.0, schedule="lr[1] = linear(4)")
    assert optimizer.schedules[2] is None
    for expected in (1.0, 0.75, 0.5):
        assert [rate(optimizer, i) for i in range(3)] == [1.0, expected, 7.0]
        optimizer.step()


@pytest.mark.parametrize(
    ("cls", "text", "message"),
    [
        ("Adam", "momentum = linear(10)", "has no `momentum`; it has lr, weight_decay, beta1, beta2, eps"),
        ("SGD", "beta1 = linear(10)", "has no `beta1`; it has lr, weight_decay, momentum, dampening"),
        ("SGD", "lr[tail] = linear(10)", "no parameter group is called `tail`"),
        ("SGD", "lr[5] = linear(10)", "no parameter group is called `5`"),
    ],
)
def test_unknown_target_or_group(cls: str, text: str, message: str) -> None:
    with pytest.raises(lrdsl.ScheduleError, match=message) as caught:
        getattr(lrdsl, cls)(parameters([(3,)]), schedule=text)
    assert caught.value.code == "E0803"
    assert caught.value.text == text and caught.value.span is not None


def test_a_wrong_text_shows_itself() -> None:
    with pytest.raises(lrdsl.ScheduleError, match=r"cosin\(3\)") as caught:
        lrdsl.SGD(parameters([(3,)]), schedule="cosin(3)")
    assert caught.value.code == "E0204"


def test_units_params_and_numbers() -> None:
    units = {"total_steps": 100, "steps_per_epoch": 10, "tokens_per_step": 5, "samples_per_step": 2}
    text = "warmup(1ep) >> hold(50tok) >> hold(10smp) >> linear(tail) >> constant(0.5x, rest)"
    optimizer = lrdsl.SGD(parameters([(3,)]), lr=1.0, schedule=text, schedule_params={"tail": 20}, **units)
    rates = {}
    for step in range(60):
        rates[step] = rate(optimizer)
        optimizer.step()
    assert (rates[5], rates[10], rates[24], rates[35], rates[45]) == (0.5, 1.0, 1.0, 0.5, 0.5)
    assert rate(lrdsl.SGD(parameters([(3,)]), lr=1.0, schedule=0.125)) == 0.125


# --- observations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["min", "max"])
def test_plateau_cuts_with_torchs(mode: str) -> None:
    reports = np.random.default_rng(0).normal(size=120).cumsum()
    ours = lrdsl.SGD(parameters([(3,)]), lr=1.0, schedule=f"hold() | plateau(3, 0.5, mode={mode}, cooldown=2)")
    theirs = torch.optim.SGD(parameters([(3,)]), lr=1.0)
    peer = schedulers.ReduceLROnPlateau(theirs, mode=mode, patience=3, factor=0.5, cooldown=2)
    for report in np.abs(reports) + 1.0:  # positive: torch's relative threshold is another one below 0
        ours.step()
        theirs.step()
        ours.observe(float(report))
        peer.step(float(report))
        assert rate(ours) == rate(theirs)
    assert rate(ours) < 0.1


def test_reports_act_on_the_very_next_update() -> None:
    p = parameters([(1,)])
    optimizer = lrdsl.SGD(p, lr=1.0, schedule="hold() | plateau(patience=0, factor=0.5)")
    fill_gradients(p, seed=0)
    optimizer.observe(1.0)
    optimizer.observe(2.0)
    assert rate(optimizer) == 0.5
    before = p[0].detach().clone()
    optimizer.step()
    assert torch.equal(p[0].detach(), before - 0.5 * p[0].grad)


@pytest.mark.parametrize(
    "value", [1, 1.5, np.float32(2.0), np.int64(3), torch.tensor(1.0), torch.ones(1, 1), torch.tensor(3), math.nan]
)
def test_what_can_be_observed(value: Any) -> None:
    lrdsl.SGD(parameters([(3,)]), schedule="hold() | plateau()").observe(value)


@pytest.mark.parametrize("value", ["1.0", None, [1.0], 1j, torch.ones(2), torch.zeros(0), torch.tensor(1j)], ids=str)
def test_what_cannot(value: Any) -> None:
    optimizer = lrdsl.SGD(parameters([(3,)]), schedule="hold() | plateau()")
    before = optimizer.schedules[0].state_dict()
    with pytest.raises((TypeError, ValueError)):
        optimizer.observe(value)
    assert optimizer.schedules[0].state_dict() == before


@pytest.mark.parametrize(
    ("schedule", "hint"), [("hold() | plateau()", "they listen to: loss"), ("hold()", "none"), (None, "none")]
)
def test_undeclared_metric(schedule: str | None, hint: str) -> None:
    optimizer = lrdsl.SGD(parameters([(3,)]), schedule=schedule)
    with pytest.raises(lrdsl.ScheduleError, match="listens to `lss`") as caught:
        optimizer.observe(1.0, "lss")
    assert caught.value.code == "E0209" and hint in str(caught.value)


def test_only_the_groups_that_listen_are_told() -> None:
    first, second = parameters([(3,), (3,)])
    groups = [{"params": [first]}, {"params": [second], "schedule": "hold() | plateau(patience=0, metric=accuracy)"}]
    optimizer = lrdsl.SGD(groups, lr=1.0, schedule="hold() | plateau(patience=0)")
    for _ in range(2):
        optimizer.observe(1.0)
    assert [rate(optimizer, i) for i in range(2)] == [0.1, 1.0]


# --- the clock ------------------------------------------------------------------------------------------------------


def test_clock_advances_without_gradients() -> None:
    optimizer = lrdsl.AdamW(parameters([(3,)]), lr=1.0, schedule="linear(4)")
    for step in range(6):
        assert optimizer.clock == step
        optimizer.step()
    assert rate(optimizer) == 0.0 and not optimizer.state


def test_set_clock() -> None:
    optimizer = lrdsl.SGD(parameters([(3,)]), lr=1.0, schedule="linear(4)")
    optimizer.set_clock(3)
    assert (optimizer.clock, rate(optimizer)) == (3, 0.25)
    for wrong in (-1, 2**53, 1.0, True, "3"):
        with pytest.raises(ValueError, match="clock"):
            optimizer.set_clock(wrong)
    assert (optimizer.clock, rate(optimizer)) == (3, 0.25)


@pytest.mark.parametrize("clock", [2**24 + 1, 2**31 + 1, 2**40 + 1, 2**53 - 2])
def test_long_clocks(clock: int) -> None:
    optimizer = lrdsl.SGD(parameters([(3,)]), lr=1.0, schedule="hold()")
    optimizer.set_clock(clock)
    optimizer.step()
    assert optimizer.clock == clock + 1


def test_params_are_copied() -> None:
    given = {"k": 0.5}
    optimizer = lrdsl.SGD(parameters([(3,)]), lr=1.0, schedule="k * hold()", schedule_params=given)
    given["k"] = 0.25
    optimizer.load_state_dict(optimizer.state_dict())
    assert rate(optimizer) == 0.5


# --- faults ---------------------------------------------------------------------------------------------------------

FAULTY = {
    "negative": "expr(where(abs(step - 1003) < 1.5, 0 - base, base / (1 + step)), n=100000)",
    "nan": "expr(where(abs(step - 1003) < 1.5, log(0 - 1), base / (1 + step)), n=100000)",
    "infinite": "expr(where(abs(step - 1003) < 1.5, exp(1000), base / (1 + step)), n=100000)",
}


@pytest.mark.parametrize("fault", FAULTY)
def test_an_unusable_rate_holds_the_last_one_applied(fault: str) -> None:
    p = parameters([(3,)])
    optimizer = lrdsl.SGD(p, lr=1.0, schedule=FAULTY[fault])
    optimizer.set_clock(1000)
    rates = []
    for step in range(7):
        rates.append(rate(optimizer))
        fill_gradients(p, seed=step)
        optimizer.step()
    usable = [1 / (1 + s) for s in range(1000, 1007)]
    assert rates == [*usable[:2], usable[1], usable[1], usable[1], *usable[5:]]
    assert "group 0: lr has no usable value at update 1002" in optimizer.doctor()["faults"][0]
    saved = json.loads(optimizer.state_dict()["param_groups"][0]["schedule_state"])
    assert saved["faults"] == {"lr": 1002}
    assert torch.isfinite(p[0]).all()


def test_what_is_held_was_applied_not_only_published() -> None:
    optimizer = lrdsl.SGD(parameters([(3,)]), lr=1.0, schedule=FAULTY["nan"])
    optimizer.step()
    assert json.loads(optimizer.state_dict()["param_groups"][0]["schedule_state"])["applied"] == {"lr": 1.0}
    optimizer.set_clock(500)
    optimizer.set_clock(1003)
    assert rate(optimizer) == 1.0


def test_a_beta_of_one_is_held_as_well() -> None:
    text = "beta1 = expr(where(step == 1003, 1, 0.5), n=100000)"
    optimizer = lrdsl.Adam(parameters([(3,)]), schedule=text)
    optimizer.set_clock(1002)
    optimizer.step()
    assert optimizer.param_groups[0]["betas"] == (0.5, 0.999)
    assert optimizer.doctor()["faults"] == []
    optimizer.step()
    assert len(optimizer.doctor()["faults"]) == 1
