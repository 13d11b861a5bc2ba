"""Everything around the update: groups, closures, hooks, copies, gradients, memory."""

from __future__ import annotations

import collections
import copy
import gc
import pickle
import threading
import weakref
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from torch.nn import Parameter  # noqa: E402

import lrdsl  # noqa: E402
from lrdsl.evaluators import native  # noqa: E402
from tests.optim.peers import (  # noqa: E402
    KINDS,
    STEPS,
    WITHOUT_NATIVE,
    assert_close,
    fill_gradients,
    fingerprint,
    needs_native,
    parameters,
    twins,
)

TEXT = "warmup(3) >> linear(10, to=0.1x) | plateau(patience=1)"


# --- add_param_group ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_group_added_later(kind: str, backend: str) -> None:
    ours = parameters([(5,), (6,), (7,)])
    theirs = twins(ours)
    a = KINDS[kind].ours(ours[:1], backend=backend, schedule="linear(10)")
    b = KINDS[kind].theirs(theirs[:1])
    base = KINDS[kind].options["lr"]
    for step in range(8):
        if step == 3:
            a.add_param_group({"params": ours[1:], "lr": 0.05, "name": "late"})
            b.add_param_group({"params": theirs[1:], "lr": 0.05})
        for group, own in zip(b.param_groups, (base, 0.05), strict=False):
            group["lr"] = own * (1 - step / 10)
        assert [g["lr"] for g in a.param_groups] == pytest.approx([g["lr"] for g in b.param_groups])
        fill_gradients(ours, theirs, seed=step)
        a.step()
        b.step()
    assert_close(ours, theirs, base, spread=4.0 / (1 - KINDS[kind].momentum))
    assert a.clock == 8 and len(a.schedules) == 2


def test_a_tensor_or_names_as_in_torch() -> None:
    (p, q) = parameters([(5,), (6,)])
    optimizer = lrdsl.SGD([("p", p)], lr=1.0)
    optimizer.add_param_group({"params": [("q", q)]})
    assert [group["param_names"] for group in optimizer.param_groups] == [["p"], ["q"]]
    plain = lrdsl.SGD([p], lr=1.0)
    plain.add_param_group({"params": q})
    assert plain.param_groups[1]["params"][0] is q


def test_the_users_dict_is_left_alone() -> None:
    p, q = parameters([(5,), (6,)])
    given = {"params": [p]}
    optimizer = lrdsl.SGD([given], lr=1.0, schedule="hold()")
    later = {"params": [q]}
    optimizer.add_param_group(later)
    assert given == {"params": [p]} and later == {"params": [q]}


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (lambda old, new: {"params": [new], "lr": -1.0}, "group 1: expected lr"),
        (lambda old, new: {"params": [new], "momentum": float("nan")}, "group 1: expected momentum"),
        (lambda old, new: {"params": [new], "schedule": "cosin(3)"}, "cosin"),
        (lambda old, new: {"params": [new], "schedule": "lr[tail] = hold()"}, "tail"),
        (lambda old, new: {"params": [new, new]}, "twice"),
        (lambda old, new: {"params": [old]}, "more than one"),
        (lambda old, new: {"params": [Parameter(old.detach()[:2])]}, "shares memory"),
        (lambda old, new: {"params": [new.to_sparse()]}, "dense|leaf"),
        (lambda old, new: {"params": [torch.zeros(3, dtype=torch.int32)]}, "int32"),
        (lambda old, new: {"params": {new}}, "ordered"),
        (lambda old, new: [new], "dict"),
    ],
)
def test_a_refused_group_changes_nothing(group: Any, message: str) -> None:
    old, new = parameters([(5,), (6,)])
    optimizer = lrdsl.SGD([old], lr=1.0, momentum=0.9, schedule=TEXT)
    fill_gradients([old], seed=0)
    optimizer.step()
    before = fingerprint(optimizer)
    with pytest.raises((ValueError, TypeError, lrdsl.ScheduleError), match=message):
        optimizer.add_param_group(group(old, new))
    assert fingerprint(optimizer) == before and len(optimizer.schedules) == 1
    optimizer.step()


def test_adding_a_group_does_not_hide_a_foreign_write() -> None:
    old, new = parameters([(5,), (6,)])
    optimizer = lrdsl.SGD([old], lr=1.0, schedule="hold()")
    optimizer.param_groups[0]["lr"] = 0.3
    with pytest.raises(RuntimeError, match="another scheduler"):
        optimizer.add_param_group({"params": [new]})
    assert len(optimizer.param_groups) == 1


def test_groups_changed_by_hand() -> None:
    first, second, third = parameters([(3,), (3,), (3,)])
    optimizer = lrdsl.SGD([first, second], lr=1.0)
    optimizer.param_groups[0]["params"][1] = third
    kept = second.detach().clone(), third.detach() - 1
    for p in (first, second, third):
        p.grad = torch.ones(3)
    optimizer.step()
    assert torch.equal(second, kept[0]) and torch.equal(third, kept[1])
    optimizer.param_groups.append(copy.copy(optimizer.param_groups[0]))
    with pytest.raises(RuntimeError, match="add_param_group"):
        optimizer.step()


# --- closures, hooks, profiler ----------------------------------------------------------------------------------------


def test_closure() -> None:
    (p,) = parameters([(3,)])
    optimizer = lrdsl.SGD([p], lr=0.1)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (p**2).sum()
        loss.backward()
        return loss

    before = p.detach().clone()
    with torch.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == pytest.approx((before**2).sum().item())
    torch.testing.assert_close(p.detach(), before - 0.1 * 2 * before)
    assert optimizer.step() is None


@pytest.mark.parametrize("kind", KINDS)
def test_step_hooks(kind: str) -> None:
    params = parameters([(3,)])
    optimizer = KINDS[kind].ours(params)
    seen: list[str] = []
    optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append(f"pre {o.clock}"))
    optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append(f"post {o.clock}"))
    optimizer.step()
    assert seen == ["pre 0", "post 1"]


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_profiler_range(name: str) -> None:
    params = parameters([(3,)])
    optimizer = getattr(lrdsl, name)(params)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        fill_gradients(params, seed=0)
        optimizer.step()
        optimizer.zero_grad()
    events = [event.key for event in profile.key_averages()]
    assert f"Optimizer.step#{name}.step" in events and f"Optimizer.zero_grad#{name}.zero_grad" in events


@pytest.mark.parametrize("backend", STEPS)
def test_autograd_sees_that_parameters_moved(backend: str) -> None:
    params = parameters([(3,)])
    optimizer = lrdsl.SGD(params, backend=backend)
    loss = (params[0] ** 2).sum()
    fill_gradients(params, seed=0)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# --- gradients ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad(set_to_none: bool) -> None:
    params = parameters([(3,), (4,)])
    optimizer = lrdsl.AdamW(params, fused=True)
    fill_gradients(params, seed=0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=set_to_none)
    for p in params:
        assert p.grad is None if set_to_none else not p.grad.any()
    optimizer.step()
    assert {int(optimizer.state[p]["step"]) for p in params} == {1 if set_to_none else 2}


@pytest.mark.parametrize("backend", STEPS)
def test_gradients_that_change_layout_between_steps(backend: str) -> None:
    ours, theirs = parameters([(4, 6), (5,)]), parameters([(4, 6), (5,)])
    a, b = lrdsl.AdamW(ours, backend=backend), torch.optim.AdamW(theirs)
    for step in range(6):
        fill_gradients(ours, theirs, seed=step)
        if step % 2:
            ours[0].grad = ours[0].grad.t().contiguous().t()
        a.step()
        b.step()
    assert_close(ours, theirs, 1e-3)


@pytest.mark.parametrize("backend", STEPS)
def test_parameters_moved_in_memory(backend: str) -> None:
    ours, theirs = parameters([(2, 3, 4, 5), (5,)]), parameters([(2, 3, 4, 5), (5,)])
    a, b = lrdsl.AdamW(ours, backend=backend), torch.optim.AdamW(theirs)
    for step in range(6):
        fill_gradients(ours, theirs, seed=step)
        if step == 2:
            ours[0].data = ours[0].data.clone()
        if step == 4:  # the state has to follow into the new layout
            ours[0].data = ours[0].data.contiguous(memory_format=torch.channels_last)
        a.step()
        b.step()
    assert_close(ours, theirs, 1e-3)
    assert a.state[ours[0]]["exp_avg"].stride() == ours[0].stride()


@pytest.mark.parametrize("backend", STEPS)
def test_state_replaced_by_hand(backend: str) -> None:
    ours, theirs = parameters([(5,)]), parameters([(5,)])
    a, b = lrdsl.AdamW(ours, backend=backend), torch.optim.AdamW(theirs)
    for step in range(4):
        fill_gradients(ours, theirs, seed=step)
        a.step()
        b.step()
        if step == 1:
            for side in (a, b):
                state = side.state[side.param_groups[0]["params"][0]]
                state["exp_avg"] = torch.full_like(state["exp_avg"], 0.5)
            a.init_state()
    assert_close(ours, theirs, 1e-3)


@pytest.mark.parametrize("backend", STEPS)
def test_state_exchanged_as_a_whole(backend: str) -> None:
    params = parameters([(5,)])
    optimizer = lrdsl.AdamW(params, backend=backend)
    for step in range(3):
        fill_gradients(params, seed=step)
        optimizer.step()
        if step == 1:
            optimizer.state = collections.defaultdict(dict)
    assert optimizer.state[params[0]]["step"] == 1


@pytest.mark.parametrize("backend", STEPS)
def test_plans_are_kept(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    params = parameters([(5,), (4, 6)])
    params.append(Parameter(torch.randn(4, 12)[:, ::2]))
    optimizer = lrdsl.AdamW(params, backend=backend)
    fill_gradients(params, seed=0)
    optimizer.step()
    addresses = [tensor.data_ptr() for state in optimizer.state.values() for tensor in state.values()]
    params[0].grad = None
    optimizer.step()
    plan, plans = optimizer._stepper.backend.plan, []
    monkeypatch.setattr(optimizer._stepper.backend, "plan", lambda *args: plans.append(1) or plan(*args))
    for step in range(4):
        optimizer.zero_grad()
        fill_gradients(params, seed=step)
        optimizer.step()
    assert len(plans) == 1, "for the gradient that came back"
    assert [tensor.data_ptr() for state in optimizer.state.values() for tensor in state.values()] == addresses


def test_init_state_refuses_what_a_step_refuses() -> None:
    params = parameters([(5,)])
    optimizer = lrdsl.AdamW(params)
    params[0].data = torch.zeros(1).expand(5)
    with pytest.raises(ValueError, match="overlaps itself"):
        optimizer.init_state()
    assert not optimizer.state


def test_state_of_another_shape_is_refused() -> None:
    params = parameters([(5,)])
    optimizer = lrdsl.AdamW(params)
    optimizer.init_state()
    optimizer.state[params[0]]["exp_avg"] = torch.zeros(4)
    fill_gradients(params, seed=0)
    before = params[0].detach().clone()
    with pytest.raises(ValueError, match="exp_avg of group 0, parameter 0: expected shape"):
        optimizer.step()
    assert torch.equal(params[0], before) and optimizer.clock == 0


@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_init_state_is_no_step(kind: str, backend: str) -> None:
    ours = parameters([(5,), (4, 3)])
    theirs = twins(ours)
    ours[1].requires_grad_(False)
    a, b = KINDS[kind].ours(ours, backend=backend), KINDS[kind].theirs(theirs)
    a.init_state()
    assert a.clock == 0 and set(a.state) == ({ours[0]} if kind != "sgd" else set())
    ours[1].requires_grad_(True)
    for step in range(3):
        fill_gradients(ours, theirs, seed=step)
        a.step()
        b.step()
    assert_close(ours, theirs, KINDS[kind].options["lr"], spread=4.0 / (1 - KINDS[kind].momentum))


# --- copies, threads, memory -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_copies_continue_alike_and_apart(kind: str, backend: str, clone: Any) -> None:
    params = parameters([(5,), (4, 3)])
    optimizer = KINDS[kind].ours(params, backend=backend, schedule=TEXT)
    for step in range(3):
        fill_gradients(params, seed=step)
        optimizer.step()
        optimizer.observe(1.0)
    twin = clone(optimizer)
    copies = twin.param_groups[0]["params"]
    assert fingerprint(twin) == fingerprint(optimizer)
    assert not {p.data_ptr() for p in copies} & {p.data_ptr() for p in params}
    for step in range(3, 6):
        for side, ps in ((optimizer, params), (twin, copies)):
            fill_gradients(ps, seed=step)
            side.step()
            side.observe(1.0)
        assert fingerprint(twin) == fingerprint(optimizer)


def test_a_deepcopied_model_keeps_its_parameters() -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = lrdsl.AdamW(model.parameters(), schedule="hold()")
    other, twin = copy.deepcopy((model, optimizer))
    assert [id(p) for p in twin.param_groups[0]["params"]] == [id(p) for p in other.parameters()]


def test_dies_without_the_garbage_collector() -> None:
    gc.disable()
    try:
        params = parameters([(5,)])
        optimizer = lrdsl.AdamW(params, schedule=TEXT)
        fill_gradients(params, seed=0)
        optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
        watched = [
            weakref.ref(optimizer),
            weakref.ref(optimizer.schedules[0]),
            weakref.ref(optimizer.state[params[0]]["exp_avg"]),
        ]
        del optimizer
        assert [w() for w in watched] == [None, None, None]
    finally:
        gc.enable()


def test_eight_threads_step_eight_optimizers() -> None:
    sides = [parameters([(1000,), (50_000,)], seed=i) for i in range(8)]
    alone = [twins(side) for side in sides]

    def train(params: list[Any]) -> None:
        optimizer = lrdsl.AdamW(params, schedule="linear(10)")
        for step in range(5):
            for p in params:
                p.grad = torch.full_like(p, 0.1 * (step + 1))
            optimizer.step()

    threads = [threading.Thread(target=train, args=(side,)) for side in sides]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for side, reference in zip(sides, alone, strict=True):
        train(reference)
        assert all(map(torch.equal, side, reference))


# --- backends -------------------------------------------------------------------------------------------------------


def test_doctor() -> None:
    plain = lrdsl.SGD(parameters([(3,)])).doctor()
    assert plain["backend"] == ("python" if WITHOUT_NATIVE else "native")
    assert plain["why"] == (WITHOUT_NATIVE or f"the extension is live, with {native.extension().isa()}")
    python = lrdsl.SGD(parameters([(3,)]), backend="python").doctor()
    assert python == {"backend": "python", "why": "backend='python' was asked for", "clock": 0, "faults": []}


def test_the_environment_asks_for_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRDSL_BACKEND", "python")
    assert lrdsl.SGD(parameters([(3,)])).doctor()["backend"] == "python"
    with pytest.raises(RuntimeError, match="LRDSL_BACKEND=python is set"):
        lrdsl.SGD(parameters([(3,)]), backend="native")


def test_native_where_it_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LRDSL_BACKEND", raising=False)
    monkeypatch.setattr(native, "_load", lambda: (None, "the extension was not built: no compiler"))
    with pytest.raises(RuntimeError, match="cannot run: the extension was not built: no compiler"):
        lrdsl.SGD(parameters([(3,)]), backend="native")
    assert lrdsl.SGD(parameters([(3,)])).doctor()["why"] == "the extension was not built: no compiler"


@needs_native
@pytest.mark.parametrize("kind", KINDS)
def test_python_and_native_agree(kind: str) -> None:
    one, other = parameters([(7,), (4, 16)]), parameters([(7,), (4, 16)])
    a = KINDS[kind].ours(one, backend="native", schedule=TEXT)
    b = KINDS[kind].ours(other, backend="python", schedule=TEXT)
    for step in range(12):
        fill_gradients(one, other, seed=step)
        for side in (a, b):
            side.step()
            side.observe(1.0 / (1 + step % 3))
        assert a.param_groups[0]["lr"] == b.param_groups[0]["lr"], "equal bits"
    assert_close(one, other, KINDS[kind].options["lr"], spread=4.0 / (1 - KINDS[kind].momentum))


@needs_native
def test_the_tables_have_the_layout_of_the_extension() -> None:
    module = native.extension()
    from lrdsl.optim.hypers import DTYPE

    assert [(name, DTYPE[name].str[1:], DTYPE.fields[name][1]) for name in DTYPE.names] == list(module.HYPER_DTYPE)
    assert DTYPE.itemsize == module.HYPER_SIZE
