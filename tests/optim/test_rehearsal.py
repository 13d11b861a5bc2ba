"""Steps that do not count leave nothing behind."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

import lrdsl  # noqa: E402
from tests.optim.peers import STEPS, fill_gradients, fingerprint, parameters  # noqa: E402

SHAPES = [(7,), (3, 40), (0,), (1,)]
PLATEAU = "warmup(3) >> linear(40, to=0.1x) | plateau(patience=0, factor=0.5)"
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "momentum": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "schedule": PLATEAU}),
    "momentum comes late": ("SGD", {"schedule": "momentum = constant(0, 4) >> constant(0.9)", "dampening": 0.5}),
    "adam": ("Adam", {"lr": 0.01, "schedule": f"lr = {PLATEAU}; beta1 = linear(20, from=0.8, to=0.9)"}),
    "amsgrad, tensor": ("Adam", {"lr": torch.tensor(0.01), "amsgrad": True, "schedule": PLATEAU}),
    "no schedule": ("AdamW", {"lr": 0.01}),
    "skipping": ("AdamW", {"lr": 0.01, "schedule": PLATEAU, "skip_nonfinite": True, "max_grad_norm": 1.0}),
    "norm heard": ("SGD", {"lr": 0.1, "schedule": "hold() | plateau(metric=grad_norm, patience=0)"}),
    "skips heard": (
        "SGD",
        {"lr": 0.1, "schedule": "hold() | guard(metric=grad_norm, spike=1.01, recover=9)", "skip_nonfinite": True},
    ),
    "masters": ("AdamW", {"lr": 0.01, "schedule": PLATEAU, "master_weights": True}),
    "a held rate": ("SGD", {"schedule": "expr(where(abs(step - 1010) < 4, 0 - base, base / (1 + step)), n=100000)"}),
}


def make(name: str, backend: str) -> tuple[Any, list[Any]]:
    cls, options = RUNS[name]
    params = parameters(SHAPES, torch.bfloat16 if name == "masters" else torch.float32)
    groups = [{"params": params[:1]}, {"params": params[1:]}]
    optimizer = getattr(lrdsl, cls)(groups, backend=backend, **options)
    if name == "a held rate":
        optimizer.set_clock(1000)
    return optimizer, params


def advance(optimizer: Any, params: list[Any], step: int) -> None:
    fill_gradients(params, seed=step)
    if step % 3 == 0:
        params[0].grad = None
    if optimizer.neighbours.skip_nonfinite and step % 4 == 1:
        params[1].grad[0] = float("inf")
    optimizer.step()
    if any("loss" in schedule.metrics for schedule in optimizer.schedules if schedule):
        optimizer.observe(1.0 / (1 + step // 4))


def everything(optimizer: Any) -> list[Any]:
    return [
        fingerprint(optimizer),
        optimizer.clock,
        optimizer.skipped,
        optimizer.grad_norm.tolist().hex(),
        optimizer.doctor()["faults"],
        optimizer.lr_history().tobytes(),
        [dict(group, params=None) for group in optimizer.param_groups],
        pickle.dumps([schedule and schedule.state_dict() for schedule in optimizer.schedules]),
    ]


def addresses(optimizer: Any) -> dict[Any, Any]:
    return {p: {k: t.data_ptr() for k, t in state.items()} for p, state in optimizer.state.items()}


@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("name", RUNS)
def test_a_run_with_rehearsals_is_a_run_without(name: str, backend: str) -> None:
    (plain, theirs), (rehearsed, ours) = make(name, backend), make(name, backend)
    for step in range(1, 17):
        if step > 5:  # state that is made in a rehearsal stays, so this is about when all is made
            before, places = everything(rehearsed), addresses(rehearsed)
            with rehearsed.rehearsal():
                for other in range(1, 1 + step % 5):
                    advance(rehearsed, ours, 100 + other)
            assert everything(rehearsed) == before, f"after {step}"
            assert addresses(rehearsed) == places
        advance(plain, theirs, step)
        advance(rehearsed, ours, step)
        assert everything(rehearsed) == everything(plain), f"after {step}"


@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("name", RUNS)
def test_before_the_first_step(name: str, backend: str) -> None:
    """State that was made in it stays where it is, and counts as not begun."""
    (plain, theirs), (rehearsed, ours) = make(name, backend), make(name, backend)
    with rehearsed.rehearsal():
        for step in (1, 2, 4):
            advance(rehearsed, ours, step)
    places = addresses(rehearsed)
    plain.init_state()
    if name != "momentum comes late":  # too late for `init_state`
        assert fingerprint(rehearsed) == fingerprint(plain)
    for step in range(9):
        advance(plain, theirs, step)
        advance(rehearsed, ours, step)
    assert fingerprint(rehearsed) == fingerprint(plain)
    assert all(addresses(rehearsed)[p] == places[p] for p in places)


@pytest.mark.parametrize("backend", STEPS)
def test_after_an_exception(backend: str) -> None:
    optimizer, params = make("adam", backend)
    advance(optimizer, params, 1)
    before = everything(optimizer)
    with pytest.raises(ZeroDivisionError), optimizer.rehearsal():
        advance(optimizer, params, 2)
        raise ZeroDivisionError
    assert everything(optimizer) == before
    with pytest.raises(RuntimeError, match="another scheduler"), optimizer.rehearsal():
        advance(optimizer, params, 2)
        optimizer.param_groups[1]["lr"] = 0.3
        optimizer.step()
    assert everything(optimizer) == before


def test_one_in_another() -> None:
    optimizer, params = make("adam", "auto")
    advance(optimizer, params, 1)
    outer = everything(optimizer)
    with optimizer.rehearsal():
        advance(optimizer, params, 2)
        inner = everything(optimizer)
        with optimizer.rehearsal():
            advance(optimizer, params, 4)
            optimizer.set_clock(30)
        assert everything(optimizer) == inner
        with pytest.raises(RuntimeError, match="load_state_dict cannot be undone"):
            optimizer.load_state_dict(optimizer.state_dict())
    assert everything(optimizer) == outer


def test_what_cannot_be_undone_is_refused() -> None:
    optimizer, params = make("adam", "auto")
    with optimizer.rehearsal():
        for change in (
            lambda: optimizer.add_param_group({"params": parameters([(3,)])}),
            lambda: optimizer.load_state_dict({}),
            lambda: optimizer.reschedule("hold()"),
        ):
            with pytest.raises(RuntimeError, match="do it outside"):
                change()
    optimizer.add_param_group({"params": parameters([(3,)])})
    advance(optimizer, params, 1)


def test_entries_replaced_by_hand() -> None:
    optimizer, params = make("amsgrad, tensor", "auto")
    advance(optimizer, params, 1)
    before = everything(optimizer)
    rate, moment = optimizer.param_groups[0]["lr"], optimizer.state[params[1]]["exp_avg"]
    with optimizer.rehearsal():
        optimizer.param_groups[0]["lr"] = 0.0
        optimizer.state[params[1]]["exp_avg"] = torch.ones_like(moment)
        del optimizer.state[params[3]]
        optimizer.state[params[2]].clear()
    assert everything(optimizer) == before and optimizer.param_groups[0]["lr"] is rate
    advance(optimizer, params, 2)


def test_a_foreign_rate_is_found_before() -> None:
    optimizer, _ = make("adam", "auto")
    optimizer.param_groups[0]["lr"] = 0.3
    with pytest.raises(RuntimeError, match="another scheduler"), optimizer.rehearsal():
        raise AssertionError("unreached")
