"""The rates of the last updates, for logs."""

from __future__ import annotations

import copy
import pickle
from timeit import timeit
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

import lrdsl  # noqa: E402
from lrdsl.optim.history import History  # noqa: E402
from tests.optim.peers import STEPS, fill_gradients, parameters  # noqa: E402


def run(optimizer: Any, steps: int) -> list[tuple[int, int, float]]:
    """What a loop that logs for itself would have noted."""
    seen = []
    for _ in range(steps):
        seen += [(optimizer.clock, i, float(group["lr"])) for i, group in enumerate(optimizer.param_groups)]
        fill_gradients([p for group in optimizer.param_groups for p in group["params"]], seed=optimizer.clock)
        optimizer.step()
    return seen


@pytest.mark.parametrize("backend", STEPS)
def test_it_is_what_a_log_would_hold(backend: str) -> None:
    first, second, third = parameters([(3,), (4,), (5,)])
    groups = [{"params": [first]}, {"params": [second], "lr": 0.25, "schedule": None}]
    optimizer = lrdsl.SGD(groups, lr=1.0, schedule="warmup(3) >> linear(10)", backend=backend)
    seen = run(optimizer, 4)
    optimizer.param_groups[1]["lr"] = 0.125
    seen += run(optimizer, 2)
    optimizer.add_param_group({"params": [third], "lr": 2.0})
    seen += run(optimizer, 3)
    found = optimizer.lr_history()
    assert found.tolist() == seen
    assert [(name, found.dtype[name].str) for name in found.dtype.names] == [
        ("step", "<i8"),
        ("group", "<i8"),
        ("lr", "<f8"),
    ]
    assert optimizer.lr_history(2).tolist() == seen[-6:]
    assert len(optimizer.lr_history(0)) == 0


def test_reports_that_change_the_next_rate_do_not_change_the_last_one() -> None:
    optimizer = lrdsl.SGD(parameters([(3,)]), lr=1.0, schedule="hold() | plateau(patience=0, factor=0.5)")
    for _ in range(4):
        optimizer.step()
        optimizer.observe(1.0)
    assert optimizer.lr_history()["lr"].tolist() == [1.0, 1.0, 0.5, 0.25]


def test_tensor_rates_are_the_exact_ones() -> None:
    optimizer = lrdsl.SGD(parameters([(3,)]), lr=torch.tensor(1.0), schedule="constant(0.1)")
    run(optimizer, 1)
    assert optimizer.lr_history()["lr"].tolist() == [0.1]


def test_the_last_256_are_kept() -> None:
    optimizer = lrdsl.SGD(parameters([(3,)]), lr=1.0, schedule="linear(1000)")
    seen = run(optimizer, 300)
    assert optimizer.lr_history().tolist() == seen[-256:]


def test_skipped_steps_are_not_in_it() -> None:
    (p,) = parameters([(3,)])
    optimizer = lrdsl.SGD([p], lr=1.0, schedule="linear(4)", skip_nonfinite=True)
    for bad in (False, True, False):
        p.grad = torch.full((3,), float("nan") if bad else 1.0)
        optimizer.step()
    assert optimizer.lr_history().tolist() == [(0, 0, 1.0), (1, 0, 0.75)]


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["deepcopy", "pickle"])
def test_copies_begin_anew(clone: Any) -> None:
    optimizer = lrdsl.SGD(parameters([(3,)]), lr=1.0, schedule="linear(4)")
    seen = run(optimizer, 2)
    twin = clone(optimizer)
    assert len(twin.lr_history()) == 0
    assert run(twin, 1) == twin.lr_history().tolist() == [(2, 0, 0.5)]
    assert optimizer.lr_history().tolist() == seen
    optimizer.load_state_dict(optimizer.state_dict())
    assert len(optimizer.lr_history()) == 0


@pytest.mark.parametrize("n", [-1, 257, 1.0, True, None, "3"])
def test_wrong_counts(n: Any) -> None:
    with pytest.raises(ValueError, match="whole number between 0 and 256"):
        lrdsl.SGD(parameters([(3,)])).lr_history(n)


@pytest.mark.timing
@pytest.mark.parametrize("groups", [1, 30])
def test_noting_costs_less_than_a_microsecond(groups: int) -> None:
    optimizer = lrdsl.SGD([{"params": [p]} for p in parameters([(1,)] * groups)], lr=1.0)
    history, rates = History(), optimizer._stepper.rates
    best = min(timeit(lambda: history.note(3, rates), number=5000) / 5000 for _ in range(9))
    assert best < 1e-6
