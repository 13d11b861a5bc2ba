"""Faults that review found between two steps, one test each: native with either walk, and in Python."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from torch.nn import Parameter  # noqa: E402

import lrdsl  # noqa: E402
from lrdsl.optim import torch_abi  # noqa: E402
from lrdsl.optim.native_step import NativeStep  # noqa: E402
from tests.optim.peers import (  # noqa: E402
    HALVES,
    STEPS,
    Kind,
    assert_close,
    fill_gradients,
    fingerprint,
    needs_native,
    parameters,
    twins,
)

SHAPES = [(8,), (4, 3), (5,)]
ADAM, AMSGRAD = Kind("Adam", {"lr": 0.1}), Kind("Adam", {"lr": 0.1, "amsgrad": True})
SGD, MOMENTUM = Kind("SGD", {"lr": 0.1}), Kind("SGD", {"lr": 0.1, "momentum": 0.9})


@pytest.fixture(params=[*STEPS, pytest.param("native, walk in Python", marks=needs_native)])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every way to step, the native one with both walks."""
    name, _, walk = request.param.partition(", ")
    if walk:
        monkeypatch.setattr(NativeStep, "walks", False)
    return str(name)


class Pair:
    """An optimizer of ours, and torch's."""

    def __init__(self, kind: Kind, backend: str, **ours: Any) -> None:
        params = parameters(SHAPES)
        theirs = twins(params)
        self.ours = kind.ours(params, backend=backend, **ours)
        self.theirs = kind.theirs(theirs, foreach=False)
        self.members = params, theirs

    @property
    def sides(self) -> list[tuple[Any, Sequence[Parameter]]]:
        return [(self.ours, self.members[0]), (self.theirs, self.members[1])]

    def fill(self, seed: int, without: Sequence[int] = ()) -> None:
        """New gradients, on both sides, for all parameters but some."""
        fill_gradients(*self.members, seed=seed)
        for _, params in self.sides:
            for index in without:
                params[index].grad = None

    def step(self, seed: int, without: Sequence[int] = ()) -> None:
        self.fill(seed, without)
        self.ours.step()
        self.theirs.step()

    def option(self, key: str, value: Any) -> None:
        for optimizer, _ in self.sides:
            optimizer.param_groups[0][key] = value

    def assert_equal(self) -> None:
        """In everything that can be compared."""
        assert_close(*self.members, rate=0.1, spread=10.0)
        for p, q in zip(*self.members, strict=True):
            for key, value in self.theirs.state[q].items():
                if value is not None:
                    torch.testing.assert_close(self.ours.state[p][key], value)


# --- while a parameter rests ----------------------------------------------------------------------------------------


def _delete_state(optimizer: Any, p: Parameter) -> None:
    del optimizer.state[p]


def _empty_state(optimizer: Any, p: Parameter) -> None:
    optimizer.state[p].clear()


def _clear_all(optimizer: Any, p: Parameter) -> None:
    optimizer.state.clear()


@pytest.mark.parametrize("change", [_delete_state, _empty_state, _clear_all])
@pytest.mark.parametrize("kind", [ADAM, AMSGRAD, MOMENTUM], ids=["adam", "amsgrad", "momentum"])
def test_state_goes_while_its_parameter_rests(
    kind: Kind, change: Callable[[Any, Parameter], None], backend: str
) -> None:
    pair = Pair(kind, backend)
    pair.step(0)
    pair.step(1)
    for optimizer, params in pair.sides:
        change(optimizer, params[0])
    pair.step(2, without=[0])
    gc.collect()
    others = [torch.full((8,), 7.0) for _ in range(50)]  # in the memory that the state had
    pair.step(3)
    pair.step(4)
    pair.assert_equal()
    assert all((other == 7.0).all() for other in others)


def test_momentum_comes_while_a_parameter_rests(backend: str) -> None:
    pair = Pair(SGD, backend)
    pair.step(0)
    pair.step(1)
    pair.option("momentum", 0.9)
    pair.step(2, without=[0])
    pair.step(3)
    pair.step(4)
    pair.assert_equal()


def test_amsgrad_comes_while_a_parameter_rests(backend: str) -> None:
    pair = Pair(ADAM, backend)
    pair.step(0)
    pair.step(1)
    pair.option("amsgrad", True)
    for state in pair.theirs.state.values():  # torch itself knows no way
        state["max_exp_avg_sq"] = torch.zeros_like(state["exp_avg_sq"])
    pair.step(2, without=[0])
    pair.step(3)
    pair.step(4)
    pair.assert_equal()


def test_momentum_is_scheduled_to_come_while_a_parameter_rests(backend: str) -> None:
    pair = Pair(SGD, backend, schedule="lr = constant(0.1); momentum = expr(where(step < 2, 0, 0.9))")
    for step in range(5):
        pair.theirs.param_groups[0]["momentum"] = 0.9 if step >= 2 else 0.0
        pair.step(step, without=[0] if step == 2 else [])
    pair.assert_equal()


# --- gradients and parameters of another kind -----------------------------------------------------------------------

ASKING_PYTHON = """
import torch
from torch._subclasses import FakeTensorMode
import lrdsl

class Dispatching(torch.Tensor):
    @staticmethod
    def __new__(cls, inner):
        options = dict(strides=inner.stride(), dtype=inner.dtype, device=inner.device)
        policy = dict(dispatch_device=True, dispatch_sizes_strides_policy="sizes", dispatch_layout=True)
        made = torch.Tensor._make_wrapper_subclass(cls, inner.size(), **options, **policy)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        args = [getattr(arg, "inner", arg) for arg in args]
        return func(*args, **(kwargs or {}))

def fake():
    with FakeTensorMode(allow_non_fake_inputs=True):
        return torch.ones(8)

torch.set_num_threads(2)
for make in (fake, lambda: Dispatching(torch.ones(8))):
    params = [torch.nn.Parameter(torch.zeros(8)) for _ in range(1000)]
    optimizer = lrdsl.SGD(params, lr=1.0)
    for step in range(2):
        for p in params:
            p.grad = torch.ones(8)
        optimizer.step()
    for p in params:
        p.grad = make()
    try:
        optimizer.step()
    except Exception as error:
        print(type(error).__name__, str(error)[:200])
    assert {p.detach().sum().item() for p in params} == {-16.0}
    assert optimizer.clock == 2
"""


@needs_native
def test_gradients_that_ask_python_are_refused() -> None:
    """Enough of them to be looked at by several threads; whoever asked Python from there waited forever."""
    ran = subprocess.run([sys.executable, "-c", ASKING_PYTHON], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.splitlines()) == 2, ran.stdout


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_inference_gradients_cannot_be_zeroed(steps: int, backend: str) -> None:
    params = parameters(SHAPES)
    optimizer = MOMENTUM.ours(params, zero_grads=True, backend=backend)
    for step in range(steps):
        fill_gradients(params, seed=step)
        optimizer.step()
    fill_gradients(params, seed=9)
    with torch.inference_mode():
        params[1].grad = torch.ones(4, 3)
    before = fingerprint(optimizer)
    for _ in range(2):
        with pytest.raises((RuntimeError, ValueError), match="inference"):
            optimizer.step()
        assert (fingerprint(optimizer), optimizer.clock) == (before, steps)
    fill_gradients(params, seed=9)
    optimizer.step()
    assert optimizer.clock == steps + 1


def test_inference_parameters_cannot_be_stepped_elsewhere(backend: str) -> None:
    with torch.inference_mode():
        params = [torch.ones(4), torch.ones(3)]
        optimizer = SGD.ours(params, backend=backend)
        for _ in range(2):
            for p in params:
                p.grad = torch.ones_like(p)
            optimizer.step()
    before = fingerprint(optimizer)
    for _ in range(2):
        with pytest.raises((RuntimeError, ValueError), match="inference"):
            optimizer.step()
        assert (fingerprint(optimizer), optimizer.clock) == (before, 2)


@pytest.mark.parametrize("kind", [SGD, MOMENTUM, ADAM], ids=["sgd", "momentum", "adam"])
def test_a_parameter_becomes_a_negated_view(kind: Kind, backend: str) -> None:
    pair = Pair(kind, backend)
    for step in range(5):
        if step in (1, 2):
            for _, params in pair.sides:
                params[1].data = torch._neg_view(params[1].data)
                assert params[1].is_neg() == (step == 1)
        pair.step(step)
    pair.assert_equal()


@pytest.mark.parametrize("masters", [False, True])
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_a_negated_view_in_low_precision(dtype: torch.dtype, masters: bool, backend: str) -> None:
    p = Parameter(torch.arange(1.0, 8.0, dtype=dtype))
    optimizer = lrdsl.SGD([p], lr=0.5, master_weights=masters, backend=backend)
    p.data = torch._neg_view(-p.data)
    for step in range(3):
        p.grad = torch.ones(7, dtype=dtype)
        optimizer.step()
        assert p.tolist() == [start - 0.5 * (step + 1) for start in range(1, 8)]


def test_a_shared_gradient_together_with_a_first_one(backend: str) -> None:
    """None is zeroed before all have been seen."""
    pair = Pair(SGD, backend, zero_grads=True)
    pair.members = tuple([Parameter(torch.ones(8)) for _ in range(4)] for _ in range(2))
    for optimizer, params in pair.sides:
        optimizer.param_groups[0]["params"] = params

    def step() -> None:
        for optimizer, _ in pair.sides:
            optimizer.step()
        pair.theirs.zero_grad(set_to_none=False)

    for seed in range(2):
        pair.fill(seed, without=[3])
        step()
    for _, params in pair.sides:
        params[3].grad, params[1].grad = torch.ones(8), params[0].grad
    for size in (1.0, 2.0, 3.0):
        for _, params in pair.sides:
            for p in params:
                p.grad.fill_(size)
        step()
        assert all((p.grad == 0).all() for p in pair.members[0])
    pair.assert_equal()


def test_a_shared_negated_gradient_is_zeroed(backend: str) -> None:
    first, second = (Parameter(torch.zeros(4)) for _ in range(2))
    optimizer = lrdsl.SGD([first, second], lr=1.0, zero_grads=True, backend=backend)
    first.grad = second.grad = torch._neg_view(-torch.ones(4))
    optimizer.step()
    assert [p.tolist() for p in (first, second, first.grad)] == [[-1.0] * 4, [-1.0] * 4, [0.0] * 4]
    assert optimizer.clock == 1


# --- options --------------------------------------------------------------------------------------------------------


def test_a_refused_rate_is_put_back(backend: str) -> None:
    """What was edited together with it must not have stayed behind."""
    pair = Pair(SGD, backend)
    pair.step(0)
    group = pair.ours.param_groups[0]
    rate, decay = group["lr"], group["weight_decay"]
    group["lr"], group["weight_decay"] = float("nan"), 0.5
    with pytest.raises(ValueError, match="lr"):
        pair.ours.step()
    group["lr"], group["weight_decay"] = rate, decay
    pair.step(1)
    pair.assert_equal()


@pytest.mark.parametrize(
    "publish",
    [lambda optimizer: optimizer.observe(1.0), lambda optimizer: optimizer.set_clock(5)],
    ids=["observe", "clock"],
)
def test_the_other_beta_is_edited_between_publications(publish: Callable[[Any], None], backend: str) -> None:
    text = "lr = constant(0.1) | plateau(patience=5); beta1 = linear(10, from=0.9, to=0.5)"
    pair = Pair(ADAM, backend, schedule=text)
    group = pair.ours.param_groups[0]
    for step in range(5):
        if step == 2:
            group["betas"] = (group["betas"][0], 0.3)
            publish(pair.ours)
        pair.theirs.param_groups[0]["betas"] = group["betas"][0], 0.3 if step >= 2 else 0.999
        pair.step(step)
    pair.assert_equal()


def test_a_value_that_returns_while_the_rate_is_held(backend: str) -> None:
    rate, decay = "where(step == 3, log(0 - 1), 0.1)", "where(step < 1, 0.1, where(step == 3, 0.1, 0.5))"
    pair = Pair(SGD, backend, weight_decay=0.1, schedule=f"lr = expr({rate}); weight_decay = expr({decay})")
    for step, value in enumerate((0.1, 0.5, 0.5, 0.1, 0.5)):
        pair.theirs.param_groups[0]["weight_decay"] = value
        pair.step(step)
    pair.assert_equal()
    assert pair.ours.doctor()["faults"] == ["group 0: lr has no usable value at update 3; the last one was held"]


def test_betas_edited_in_place(backend: str) -> None:
    pair = Pair(ADAM, backend)
    for optimizer, _ in pair.sides:
        optimizer.param_groups[0]["betas"] = [0.9, 0.999]
    for step in range(4):
        for optimizer, _ in pair.sides:
            optimizer.param_groups[0]["betas"][0] = 0.1 * step
        pair.step(step)
    pair.assert_equal()


def test_a_weight_decay_tensor_edited_in_place(backend: str) -> None:
    pair = Pair(SGD, backend)
    decay = torch.tensor(0.1)
    pair.ours.param_groups[0]["weight_decay"] = decay
    for step in range(4):
        decay.fill_(0.25 * step)
        pair.theirs.param_groups[0]["weight_decay"] = 0.25 * step
        pair.step(step)
    pair.assert_equal()


def test_betas_as_a_list_do_not_stop_the_clock(backend: str) -> None:
    optimizer = lrdsl.Adam(
        parameters([(3,)]), lr=0.1, schedule="lr = linear(10); beta1 = constant(0.5)", backend=backend
    )
    group = optimizer.param_groups[0]
    group["betas"] = [group["betas"][0], 0.99]
    optimizer.set_clock(5)
    assert optimizer.clock == 5 and group["lr"] == 0.05 and [*group["betas"]] == [0.5, 0.99]
    optimizer.param_groups[0]["params"][0].grad = torch.ones(3)
    optimizer.step()
    assert optimizer.clock == 6


# --- state ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ADAM, AMSGRAD], ids=["adam", "amsgrad"])
def test_a_step_count_edited_in_place(kind: Kind, backend: str) -> None:
    pair = Pair(kind, backend)
    for step in range(5):
        if step in (2, 4):
            for optimizer, params in pair.sides:
                optimizer.state[params[1]]["step"].fill_(100.0 / step)
        pair.step(step)
    pair.assert_equal()


def test_init_state_after_a_parameter_was_swapped_by_hand(backend: str) -> None:
    old, other = parameters([(4,), (3,)])
    optimizer = lrdsl.Adam([old, other], backend=backend)
    fill_gradients([old, other], seed=0)
    optimizer.step()
    new = Parameter(torch.zeros(4))
    optimizer.param_groups[0]["params"][0] = new
    del optimizer.state[old]
    optimizer.init_state()
    assert new in optimizer.state and old not in optimizer.state
    assert set(optimizer.state_dict()["state"]) == {0, 1}


@pytest.mark.parametrize("schedule", [None, "linear(10)"])
def test_an_optimizer_in_its_own_group_is_collected(schedule: str | None, backend: str) -> None:
    params = parameters(SHAPES)
    optimizer = MOMENTUM.ours(params, schedule=schedule, backend=backend)
    for step in range(3):
        fill_gradients(params, seed=step)
        optimizer.step()
    optimizer.param_groups[0]["owner"] = optimizer
    watched = weakref.ref(optimizer)
    del optimizer
    gc.collect()
    assert watched() is None


@needs_native
def test_the_doctor_says_which_walk_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    why = "the extension is live, with "
    assert lrdsl.SGD(parameters([(3,)])).doctor()["why"].startswith(why)
    assert "compared in Python" not in lrdsl.SGD(parameters([(3,)])).doctor()["why"]
    monkeypatch.setattr(torch_abi, "obstacle", lambda *arguments: "a test forbids it")
    told = lrdsl.SGD(parameters([(3,)])).doctor()["why"]
    assert told.startswith(why) and told.endswith("; tensors are compared in Python: a test forbids it")
