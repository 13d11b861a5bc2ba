"""Phantom steps: at a rate of 0 that somebody else wrote and with zero gradients, only state is made."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

import lrdsl  # noqa: E402
from tests.optim.peers import KINDS, STEPS, fill_gradients, fingerprint, parameters  # noqa: E402

TEXT = "warmup(4) >> cosine(6, to=0.1x) | plateau(patience=0, factor=0.5)"
CLOCKS = {"first, at rate 0": 0, "middle": 5, "end": 30}
KINDS_TRIED = ["sgd", "momentum", "adamw"]
MOMENTS = {"sgd": set(), "momentum": {"momentum_buffer"}, "adamw": {"step", "exp_avg", "exp_avg_sq"}}


def optimizer(kind: str, clock: int = 0, *, tensor: bool = False, groups: int = 2, backend: str = "auto") -> Any:
    base = KINDS[kind].options["lr"]
    made = KINDS[kind].ours(
        [{"params": [p], "lr": torch.tensor(base) if tensor else base} for p in parameters([(5,), (3, 4), (2,)])][
            :groups
        ],
        schedule=TEXT,
        backend=backend,
    )
    made.set_clock(clock)
    return made


def params(made: Any) -> list[Any]:
    return [p for group in made.param_groups for p in group["params"]]


@contextmanager
def replaced(made: Any, zero: Callable[[], Any] | None = None) -> Iterator[None]:
    """What checkpoint libraries do around their step: put 0 as rate, and the objects that were there back."""
    rates = [group["lr"] for group in made.param_groups]
    for group in made.param_groups:
        group["lr"] = zero() if zero else torch.tensor(0.0) if isinstance(group["lr"], torch.Tensor) else 0.0
    for p in params(made):
        p.grad = torch.zeros_like(p)
    yield
    for group, rate in zip(made.param_groups, rates, strict=True):
        group["lr"] = rate
    for p in params(made):
        p.grad = None


@contextmanager
def filled(made: Any) -> Iterator[None]:
    """The same in place, for rates in tensors."""
    rates = [group["lr"].item() for group in made.param_groups]
    for group in made.param_groups:
        group["lr"].zero_()
    for p in params(made):
        p.grad = torch.zeros_like(p)
    yield
    for group, rate in zip(made.param_groups, rates, strict=True):
        group["lr"].fill_(rate)
    for p in params(made):
        p.grad = None


def train(made: Any, first: int, last: int) -> None:
    for step in range(first, last):
        fill_gradients(params(made), seed=step)
        made.step()
        if step % 3 == 2:
            made.observe(1.0)


@pytest.fixture(params=[False, True], ids=["float", "tensor"])
def tensor(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("clock", CLOCKS.values(), ids=CLOCKS)
@pytest.mark.parametrize("kind", KINDS_TRIED)
def test_a_fresh_optimizer_gets_state_and_nothing_else(kind: str, clock: int, tensor: bool, backend: str) -> None:
    made, untouched = (optimizer(kind, clock, tensor=tensor, backend=backend) for _ in range(2))
    rates = [group["lr"] for group in made.param_groups]
    before = [p.detach().clone() for p in params(made)]
    for _ in range(2):  # two in a row
        with replaced(made):
            made.step()
            assert [float(group["lr"]) for group in made.param_groups] == [0.0, 0.0], "it leaves what it found"
    assert all(group["lr"] is rate for group, rate in zip(made.param_groups, rates, strict=True))
    assert made.clock == clock and made.lr_history().size == 0
    assert all(map(torch.equal, before, params(made)))
    for p in params(made):
        state = made.state.get(p, {})  # which looking would make
        assert set(state) == MOMENTS[kind]
        assert not any(entry.any() for entry in state.values())
    train(made, 0, 7)
    train(untouched, 0, 7)
    assert fingerprint(made) == fingerprint(untouched)


@pytest.mark.parametrize("way", [replaced, filled])
@pytest.mark.parametrize("clock", CLOCKS.values(), ids=CLOCKS)
@pytest.mark.parametrize("kind", KINDS_TRIED)
def test_a_run_with_phantoms_is_a_run_without(kind: str, clock: int, tensor: bool, way: Any) -> None:
    if way is filled and not tensor:
        with pytest.raises(AttributeError):
            optimizer(kind).param_groups[0]["lr"].zero_()
        return
    made, untouched = (optimizer(kind, clock, tensor=tensor) for _ in range(2))
    for first in range(0, 12, 3):
        with way(made):
            made.step()
        train(made, first, first + 3)
        train(untouched, first, first + 3)
    assert made.clock == clock + 12
    assert fingerprint(made) == fingerprint(untouched)


@pytest.mark.parametrize(
    "zero", [lambda: 0, lambda: 0.0, lambda: -0.0, lambda: torch.tensor(0.0), lambda: torch.zeros(1)]
)
def test_any_zero(zero: Any, tensor: bool) -> None:
    made = optimizer("adamw", 5, tensor=tensor)
    with replaced(made, zero):
        made.step()
    assert made.clock == 5


def test_no_gradients_at_all_is_a_phantom_too() -> None:
    made = optimizer("adamw", 5)
    with replaced(made):
        for p in params(made):
            p.grad = None
        made.step()
    assert made.clock == 5


@pytest.mark.parametrize("value", [1e-30, math.nan, math.inf])
def test_with_gradients_it_is_somebody_elses_rate(value: float, tensor: bool) -> None:
    made = optimizer("adamw", 5, tensor=tensor)
    before = fingerprint(made)
    with replaced(made):
        params(made)[1].grad.view(-1)[0] = value
        with pytest.raises(RuntimeError, match=r"group 0: lr is 0\.0, but this optimizer's schedule says"):
            made.step()
    assert fingerprint(made) == before


def test_one_rate_that_is_ours_makes_it_no_phantom() -> None:
    made = optimizer("adamw", 5)
    made.param_groups[0]["lr"] = 0.0
    with pytest.raises(RuntimeError, match=r"group 0: lr is 0\.0"):
        made.step()


@pytest.mark.parametrize("kind", KINDS_TRIED)
def test_a_copy_of_zero_with_gradients_is_a_real_step(kind: str, tensor: bool) -> None:
    made, untouched = (optimizer(kind, tensor=tensor) for _ in range(2))
    for group in made.param_groups:
        assert float(group["lr"]) == 0.0, "the warm-up begins there"
        group["lr"] = 0.0
    train(made, 0, 6)
    train(untouched, 0, 6)
    assert made.clock == 6 and fingerprint(made) == fingerprint(untouched)


def test_groups_without_a_schedule_do_not_matter() -> None:
    """Their rates are obeyed; nothing else happens to them in a phantom."""
    free, governed = parameters([(3,), (3,)])
    groups = [{"params": [free], "schedule": None}, {"params": [governed]}]
    made = lrdsl.AdamW(groups, lr=0.5, weight_decay=0.1, schedule="linear(10)")
    before = free.detach().clone()
    with replaced(made, lambda: 0.0):
        made.param_groups[0]["lr"] = 0.5
        made.step()
    assert made.clock == 0 and torch.equal(free, before)


def test_without_schedules_a_step_is_a_step() -> None:
    made = lrdsl.AdamW(parameters([(3,)]), lr=0.5)
    with replaced(made):
        made.step()
    assert made.clock == 1


@pytest.mark.parametrize("backend", STEPS)
def test_schedules_that_govern_no_rate(backend: str, tensor: bool) -> None:
    """A rate of 0 is the user's own, so only what has no state yet can be got ready."""

    def make() -> Any:
        groups = [{"params": [p]} for p in parameters([(5,), (3, 4)])]
        lr = torch.tensor(0.1) if tensor else 0.1
        return lrdsl.AdamW(groups, lr=lr, schedule="weight_decay = linear(9)", backend=backend)

    made, untouched = make(), make()
    with replaced(made):
        made.step()
    assert made.clock == 0 and len(made.state) == 2
    for side in (made, untouched):
        for step in range(4):
            fill_gradients(params(side), seed=step)
            side.step()
    assert fingerprint(made) == fingerprint(untouched)
    with replaced(made, lambda: 0.0):
        made.step()
    assert made.clock == 5


def test_the_closure_is_called() -> None:
    made = optimizer("sgd", 5)
    with replaced(made):
        assert made.step(lambda: 3.0) == 3.0
    assert made.clock == 5


def test_copies_of_an_optimizer_under_a_phantom() -> None:
    """A copy publishes afresh, so its step is a real one."""
    made = optimizer("adamw", 5)
    with replaced(made):
        twin = copy.deepcopy(made)
        made.step()
    assert (made.clock, twin.clock) == (5, 5)
    assert [group["lr"] for group in twin.param_groups] == [group["lr"] for group in made.param_groups]
