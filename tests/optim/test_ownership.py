"""Who owns the rate: ours, an equal copy, or somebody else's."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from torch.optim import lr_scheduler as schedulers  # noqa: E402

import lrdsl  # noqa: E402
from lrdsl.optim import ownership  # noqa: E402
from tests.optim.peers import BACKENDS, KINDS, STEPS, fill_gradients, fingerprint, parameters  # noqa: E402

TEXT = "warmup(4) >> cosine(6, to=0.1x)"
CLOCKS = {"first, at rate 0": 0, "middle": 5, "end": 30}
SCHEDULED = ["sgd", "momentum", "adamw"]


def optimizer(kind: str, clock: int = 0, *, tensor: bool = False, **more: Any) -> Any:
    base = KINDS[kind].options["lr"]
    made = KINDS[kind].ours(
        parameters([(5,), (3, 4)]), schedule=TEXT, lr=torch.tensor(base) if tensor else base, **more
    )
    made.set_clock(clock)
    return made


def params(made: Any) -> list[Any]:
    return [p for group in made.param_groups for p in group["params"]]


@pytest.fixture(params=[False, True], ids=["float", "tensor"])
def tensor(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.parametrize("clock", CLOCKS.values(), ids=CLOCKS)
@pytest.mark.parametrize("kind", SCHEDULED)
def test_ours_proceeds(kind: str, clock: int, tensor: bool) -> None:
    made = optimizer(kind, clock, tensor=tensor)
    for step in range(3):
        fill_gradients(params(made), seed=step)
        made.step()
    assert made.clock == clock + 3


@pytest.mark.parametrize("kind", SCHEDULED)
def test_a_real_step_at_rate_zero_counts(kind: str, tensor: bool) -> None:
    made = optimizer(kind, tensor=tensor)
    assert float(made.param_groups[0]["lr"]) == 0.0
    for p in params(made):
        p.grad = torch.zeros_like(p)
    before = [p.detach().clone() for p in params(made)]
    made.step()
    assert made.clock == 1 and all(map(torch.equal, before, params(made)))


@pytest.mark.parametrize("clock", CLOCKS.values(), ids=CLOCKS)
@pytest.mark.parametrize("kind", SCHEDULED)
def test_equal_copies_are_adopted(kind: str, clock: int, tensor: bool) -> None:
    made, untouched = optimizer(kind, clock, tensor=tensor), optimizer(kind, clock, tensor=tensor)
    for step in range(4):
        group = made.param_groups[0]
        value = float(group["lr"])
        group["lr"] = [value * 1.0, torch.tensor(value, dtype=torch.float64), torch.tensor([value]), value][step]
        for side in (made, untouched):
            fill_gradients(params(side), seed=step)
            side.step()
        assert isinstance(group["lr"], torch.Tensor) == tensor, "it is ours again"
    assert fingerprint(made) == fingerprint(untouched)


@pytest.mark.parametrize("theirs", [0.25, 1, torch.tensor(0.25), float("nan"), "0.1"], ids=str)
@pytest.mark.parametrize("clock", CLOCKS.values(), ids=CLOCKS)
@pytest.mark.parametrize("kind", SCHEDULED)
def test_another_value_is_an_error(kind: str, clock: int, tensor: bool, theirs: Any) -> None:
    made = optimizer(kind, clock, tensor=tensor)
    fill_gradients(params(made), seed=0)
    made.param_groups[0]["lr"] = theirs
    before = fingerprint(made)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"group 0: lr is .*, but this optimizer's schedule says"):
            made.step()
        assert fingerprint(made) == before


def test_the_sentence() -> None:
    made = lrdsl.SGD(parameters([(5,)]), lr=0.001, schedule="hold()")
    made.param_groups[0]["lr"] = 0.0005
    with pytest.raises(RuntimeError) as caught:
        made.step()
    assert str(caught.value) == (
        "group 0: lr is 0.0005, but this optimizer's schedule says 0.001: another scheduler or code writes lr. "
        "Pass `opt.as_scheduler()` to the framework, or drop `schedule=`"
    )


@pytest.mark.parametrize("kind", SCHEDULED)
def test_a_tensor_written_in_place(kind: str) -> None:
    made = optimizer(kind, 5, tensor=True)
    rate = made.param_groups[0]["lr"]
    rate.fill_(rate.item())
    made.step()
    assert made.clock == 6, "an equal value is adopted"
    rate.mul_(0.5)
    with pytest.raises(RuntimeError, match="another scheduler"):
        made.step()


def test_tensor_rates_are_rounded_only_where_they_are_shown() -> None:
    shown, exact = optimizer("adamw", 6, tensor=True), optimizer("adamw", 6)
    exact.param_groups[0]["weight_decay"] = shown.param_groups[0]["weight_decay"] = 0.3
    for step in range(3):
        for side in (shown, exact):
            fill_gradients(params(side), seed=step)
            side.step()
    # torch.tensor(0.01) is not 0.01, so the bases differ in their last bits; the rates are those of the text
    schedule = shown.schedules[0]
    assert shown.param_groups[0]["lr"].dtype == torch.float32
    assert shown.param_groups[0]["lr"].item() == torch.tensor(schedule.lr(9)).item()


@pytest.mark.parametrize("backend", STEPS)
def test_the_update_uses_the_exact_rate_not_the_rounded_tensor(backend: str) -> None:
    p = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    made = lrdsl.SGD([p], lr=torch.tensor(1.0), schedule="constant(0.1)", backend=backend)
    p.grad = torch.ones(1, dtype=torch.float64)
    made.step()
    assert p.item() == -0.1


def test_each_group_is_looked_at() -> None:
    first, second = parameters([(3,), (3,)])
    made = lrdsl.SGD([{"params": [first]}, {"params": [second]}], lr=1.0, schedule="linear(10)")
    made.param_groups[1]["lr"] = 0.3
    with pytest.raises(RuntimeError, match=r"group 1: lr is 0\.3"):
        made.step()


def test_a_group_replaced_by_hand_is_looked_at_too() -> None:
    made = optimizer("adamw", 5)
    twin = dict(made.param_groups[0])
    made.param_groups[0] = twin
    made.step()
    assert made.clock == 6 and twin["lr"] == made.schedules[0].lr(6)
    made.param_groups = [twin | {"lr": 0.3}]
    with pytest.raises(RuntimeError, match=r"group 0: lr is 0\.3"):
        made.step()


@pytest.mark.parametrize(
    ("kind", "text", "key", "equal", "other"),
    [
        ("adamw", "weight_decay = constant(0.3)", "weight_decay", 0.3, 0.1),
        ("momentum", "momentum = constant(0.5)", "momentum", 0.5, 0.9),
        ("momentum", "dampening = constant(0.5)", "dampening", 0.5, 0.9),
        ("adam", "beta1 = constant(0.5)", "betas", (0.5, 0.999), (0.9, 0.999)),
        ("adam", "beta2 = constant(0.5)", "betas", (0.9, 0.5), (0.9, 0.999)),
        ("adam", "eps = constant(0.5)", "eps", 0.5, 1e-8),
    ],
)
def test_other_targets(kind: str, text: str, key: str, equal: Any, other: Any) -> None:
    made = KINDS[kind].ours(parameters([(5,)]), schedule=text)
    group = made.param_groups[0]
    assert group[key] == equal
    group[key] = copy.deepcopy(equal) if isinstance(equal, tuple) else equal * 1.0
    made.step()
    group[key] = other
    with pytest.raises(RuntimeError, match="but this optimizer's schedule says 0"):
        made.step()


def test_the_beta_that_is_not_scheduled_stays_the_users() -> None:
    made = lrdsl.Adam(parameters([(5,)]), schedule="beta1 = constant(0.5)")
    group = made.param_groups[0]
    group["betas"] = (group["betas"][0], 0.7)
    made.step()
    assert group["betas"] == (0.5, 0.7)


@pytest.mark.parametrize(
    "make",
    [
        lambda o: schedulers.LambdaLR(o, lambda step: 1 / (1 + step)),
        lambda o: schedulers.StepLR(o, 3, gamma=0.5),
        lambda o: schedulers.OneCycleLR(o, 0.5, total_steps=50),
    ],
    ids=["LambdaLR", "StepLR", "OneCycleLR"],
)
def test_a_scheduler_attached_is_an_error_at_the_first_differing_value(make: Any) -> None:
    made = lrdsl.AdamW(parameters([(5,)]), lr=0.1, schedule="hold(3) >> linear(10)")
    scheduler = make(made)
    with pytest.raises(RuntimeError, match="another scheduler or code writes"):
        for _ in range(6):
            made.step()
            scheduler.step()
    assert made.clock <= 4


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["deepcopy", "pickle"])
def test_copies_own_their_rates(clone: Any, tensor: bool) -> None:
    made = optimizer("adamw", 5, tensor=tensor)
    twin = clone(made)
    for side in (made, twin):
        fill_gradients(params(side), seed=0)
        side.step()
    assert fingerprint(made) == fingerprint(twin)


def test_observing_does_not_hide_a_foreign_write() -> None:
    made = lrdsl.SGD(parameters([(5,)]), lr=1.0, schedule="hold() | plateau()")
    made.param_groups[0]["lr"] = 0.3
    before = fingerprint(made)
    with pytest.raises(RuntimeError, match="another scheduler"):
        made.observe(1.0)
    assert fingerprint(made) == before


REPORTED = "lr = warmup(2) >> hold() | plateau(patience=0); beta1 = linear(9, from=0.9, to=0.5) | plateau(patience=0)"


def group_put_back(steps: int, backend: str, reports: tuple[float, ...], put_back: bool) -> Any:
    """An optimizer before whose last step the group gets the very objects that stood there before the reports."""
    made = lrdsl.AdamW(parameters([(5,)]), lr=0.1, schedule=REPORTED, backend=backend)
    for step in range(steps + 1):
        for p in params(made):
            p.grad = torch.zeros_like(p) if step == 0 else torch.ones_like(p)
        before = {key: made.param_groups[0][key] for key in ("lr", "betas")}
        for report in reports if step == steps else (1.0,):
            made.observe(report)
        if put_back and step == steps:
            made.param_groups[0].update(before)
        made.step()
    return made


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("steps", [0, 1, 5])
@pytest.mark.parametrize("reports", [(2.0,), (2.0, 3.0)], ids=["once", "twice"])
def test_what_stood_there_before_a_report_may_come_back(steps: int, reports: Any, backend: str) -> None:
    """As ZeroRedundancyOptimizer does it: no phantom, though the rate was 0, and no other scheduler."""
    ours, expected = (group_put_back(steps, backend, reports, put_back) for put_back in (True, False))
    assert fingerprint(ours) == fingerprint(expected) and ours.clock == steps + 1


def test_what_stood_there_before_an_update_may_not() -> None:
    made = optimizer("sgd", clock=5)
    before = made.param_groups[0]["lr"]
    fill_gradients(params(made), seed=0)
    made.step()
    made.param_groups[0]["lr"] = before
    with pytest.raises(RuntimeError, match="another scheduler"):
        made.step()


def test_every_publication_is_a_new_object() -> None:
    made = lrdsl.SGD([{"params": [p]} for p in parameters([(1,), (1,)])], lr=1.0, schedule="hold()")
    seen = [group["lr"] for group in made.param_groups]
    for _ in range(5):
        made.step()
        seen += [group["lr"] for group in made.param_groups]
    assert len(set(map(id, seen))) == len(seen) and set(seen) == {1.0}


def test_interpreters_without_new_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "fresh", ownership.Unique)
    made = lrdsl.Adam(parameters([(1,)]), lr=1.0, schedule="lr = hold(); beta1 = constant(0.5)")
    made.step()
    assert type(made.param_groups[0]["lr"]) is ownership.Unique
    saved = made.state_dict()["param_groups"][0]
    assert type(saved["lr"]) is float and [type(beta) for beta in saved["betas"]] == [float, float]


def test_without_schedule_the_group_is_obeyed() -> None:
    (p,) = parameters([(3,)])
    made = lrdsl.SGD([p], lr=1.0)
    before = p.detach().clone()
    p.grad = torch.ones(3)
    made.param_groups[0]["lr"] = 0.25
    made.step()
    assert torch.equal(p.detach(), before - 0.25)
    assert made.param_groups[0]["lr"] == 0.25 and "initial_lr" not in made.param_groups[0]
