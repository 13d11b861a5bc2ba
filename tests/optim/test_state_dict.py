"""State dicts: torch's format both ways, through files, and nothing written if they do not fit."""

from __future__ import annotations

import copy
import io
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

import lrdsl  # noqa: E402
from tests.optim.peers import (  # noqa: E402
    BACKENDS,
    DTYPES,
    KINDS,
    assert_close,
    fill_gradients,
    fingerprint,
    parameters,
    twins,
)

SHAPES = [(7,), (4, 16), (0,), (1,)]
PEERS = {"for-loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
TEXT = "warmup(3) >> cosine(20, to=0.1x) | plateau(patience=1)"


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def run(optimizer: Any, params: Any, steps: range) -> None:
    for step in steps:
        fill_gradients(params, seed=step)
        optimizer.step()


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_torch_to_ours_to_torch(kind: str, backend: str, dtype: Any, peer: str) -> None:
    """The run changes hands twice, and ends where torch alone ends."""
    alone, first, second, third = (parameters(SHAPES, dtype) for _ in range(4))
    reference = KINDS[kind].theirs(alone, **PEERS[peer])
    run(reference, alone, range(9))

    a = KINDS[kind].theirs(first, **PEERS[peer])
    run(a, first, range(3))
    b = KINDS[kind].ours(second, backend=backend)
    b.load_state_dict(through_a_file(a.state_dict()))
    _copy(first, second)
    assert b.clock == (0 if KINDS[kind].name == "SGD" else 3), "the largest step that torch's state knows"
    run(b, second, range(3, 6))
    c = KINDS[kind].theirs(third, **PEERS[peer])
    c.load_state_dict(through_a_file(b.state_dict()))
    _copy(second, third)
    run(c, third, range(6, 9))
    assert_close(third, alone, KINDS[kind].options["lr"], spread=4.0 / (1 - KINDS[kind].momentum))


def _copy(source: Any, target: Any) -> None:
    with torch.no_grad():
        for p, q in zip(source, target, strict=True):
            q.copy_(p)


@pytest.mark.parametrize("kind", KINDS)
def test_keys_are_torchs_and_primitives(kind: str) -> None:
    ours, theirs = parameters(SHAPES), parameters(SHAPES)
    a = KINDS[kind].ours(ours, schedule=TEXT, total_steps=100, schedule_params={"k": 2.0})
    b = KINDS[kind].theirs(theirs)
    for side, params in ((a, ours), (b, theirs)):
        run(side, params, range(2))
    a.observe(1.0)
    mine, peers = a.state_dict(), b.state_dict()
    assert set(mine) == {"state", "param_groups"} and set(mine["state"]) == set(peers["state"])
    for index, tensors in peers["state"].items():
        assert {key: value.dtype for key, value in tensors.items() if value is not None} == {
            key: value.dtype for key, value in mine["state"][index].items()
        }
    added = {"schedule", "initial_lr", "schedule_context", "schedule_step", "schedule_state", "schedule_language"}
    group = mine["param_groups"][0]
    assert set(group) == set(peers["param_groups"][0]) | added
    assert (group["schedule"], group["schedule_step"], group["schedule_language"]) == (TEXT, 2, 1)
    assert all(type(group[key]) in (int, float, str) for key in added)
    context, state = (json.loads(group[f"schedule_{key}"]) for key in ("context", "state"))
    assert context["total_steps"] == 100 and context["param k"] == 2.0
    for record in state.values():
        assert all(type(value) in (int, float) for value in record.values())
    assert set(a.param_groups[0]) == set(group)  # a checkpoint library puts back only what a group has


def test_without_schedule() -> None:
    optimizer = lrdsl.AdamW(parameters(SHAPES))
    group = optimizer.state_dict()["param_groups"][0]
    assert group["schedule"] is None and group["schedule_state"] == "{}" and "initial_lr" not in group


@pytest.mark.parametrize("kind", KINDS)
def test_addresses_stay(kind: str) -> None:
    params = parameters(SHAPES)
    optimizer = KINDS[kind].ours(params, schedule=TEXT, lr=torch.tensor(0.1))
    run(optimizer, params, range(2))
    saved = through_a_file(optimizer.state_dict())
    run(optimizer, params, range(2, 5))

    def addresses() -> list[int]:
        tensors = [t for p in params for t in optimizer.state.get(p, {}).values()]
        return [t.data_ptr() for t in [*tensors, optimizer.param_groups[0]["lr"]]]

    before = addresses()
    optimizer.load_state_dict(saved)
    assert addresses() == before and optimizer.clock == 2


def test_a_checkpoint_is_not_aliased() -> None:
    source, target = parameters(SHAPES), parameters(SHAPES)
    a, b = lrdsl.AdamW(source), lrdsl.AdamW(target)
    run(a, source, range(2))
    saved = a.state_dict()
    kept = copy.deepcopy(saved)
    b.load_state_dict(saved)
    run(b, target, range(3))
    for index, tensors in kept["state"].items():
        for key, value in tensors.items():
            assert torch.equal(saved["state"][index][key], value)


def test_loading_its_own_state_changes_nothing() -> None:
    params = parameters(SHAPES)
    optimizer = lrdsl.SGD(params, momentum=0.9, schedule=TEXT)
    run(optimizer, params, range(3))
    before = fingerprint(optimizer)
    optimizer.load_state_dict(optimizer.state_dict())
    assert fingerprint(optimizer) == before


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("step", [2**24 - 2, 2**24 - 1, 2**24, 2**24 + 1, 2**31 + 1, 2**40 + 1])
def test_counters_do_not_saturate(step: int, backend: str) -> None:
    params = parameters([(3,), (4,)])
    optimizer = lrdsl.AdamW(params, backend=backend)
    run(optimizer, params, range(1))
    saved = optimizer.state_dict()
    saved["state"][0]["step"] = torch.tensor(float(step), dtype=torch.float64)
    optimizer.load_state_dict(saved)
    run(optimizer, params, range(4))
    reloaded = lrdsl.AdamW(twins(params), backend=backend, fused=True)
    reloaded.load_state_dict(through_a_file(optimizer.state_dict()))
    for side in (optimizer, reloaded):
        steps = [int(tensors["step"]) for tensors in side.state.values()]
        assert steps == [step + 4, 5]
    assert optimizer.state[params[1]]["step"].dtype == torch.float32


def test_old_checkpoints_with_plain_steps() -> None:
    params = parameters([(3,)])
    peer = torch.optim.Adam(params)
    run(peer, params, range(2))
    saved = peer.state_dict()
    saved["state"][0]["step"] = 2
    optimizer = lrdsl.Adam(params)
    optimizer.load_state_dict(saved)
    assert optimizer.state[params[0]]["step"].item() == 2 and optimizer.clock == 2


def test_wider_and_narrower_moments() -> None:
    params = parameters([(3,)], torch.float64)
    optimizer = lrdsl.Adam(params)
    run(optimizer, params, range(2))
    saved = copy.deepcopy(optimizer.state_dict())
    saved["state"][0]["exp_avg"] = saved["state"][0]["exp_avg"].bfloat16()
    optimizer.load_state_dict(saved)
    assert optimizer.state[params[0]]["exp_avg"].dtype == torch.float64
    assert torch.equal(optimizer.state[params[0]]["exp_avg"], saved["state"][0]["exp_avg"].double())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_zero_momentum_buffer_counts_as_none(backend: str) -> None:
    fresh, loaded = parameters([(5,)]), parameters([(5,)])
    a, b, source = (lrdsl.SGD(p, lr=0.1, momentum=0.9, dampening=0.5, backend=backend) for p in (fresh, loaded, loaded))
    source.init_state()
    b.load_state_dict(through_a_file(source.state_dict()))
    for side, params in ((a, fresh), (b, loaded)):
        run(side, params, range(4))
    assert torch.equal(fresh[0], loaded[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_buffer_starts_with_the_first_update_that_uses_it(backend: str) -> None:
    ours, theirs = parameters([(5,)]), parameters([(5,)])
    a = lrdsl.SGD(ours, lr=0.1, momentum=0.9, dampening=0.5, backend=backend)
    b = torch.optim.SGD(theirs, lr=0.1, momentum=0.9, dampening=0.5)
    a.init_state()
    for step in range(5):
        for side in (a, b):
            side.param_groups[0]["momentum"] = 0.0 if step < 2 else 0.9
        fill_gradients(ours, theirs, seed=step)
        a.step()
        b.step()
    assert_close(ours, theirs, 0.1, spread=40.0)


def test_what_the_checkpoint_lacks_goes() -> None:
    params = parameters([(5,), (6,)])
    optimizer = lrdsl.AdamW(params)
    run(optimizer, params, range(2))
    saved = optimizer.state_dict()
    del saved["state"][1]
    optimizer.load_state_dict(saved)
    assert set(optimizer.state) == {params[0]}
    run(optimizer, params, range(1))
    assert [int(optimizer.state[p]["step"]) for p in params] == [3, 1]


def test_other_entries_of_a_group_are_copied() -> None:
    optimizer = lrdsl.SGD(parameters([(5,)]))
    saved = optimizer.state_dict()
    saved["param_groups"][0]["layers"] = [1, 2]
    optimizer.load_state_dict(saved)
    saved["param_groups"][0]["layers"].append(3)
    assert optimizer.param_groups[0]["layers"] == [1, 2]


def test_options_come_from_the_checkpoint_the_schedule_from_the_constructor() -> None:
    params = parameters([(3,)])
    saved = lrdsl.AdamW(params, lr=0.5, betas=(0.8, 0.9), eps=1e-4, weight_decay=0.3, amsgrad=True).state_dict()
    plain, scheduled = lrdsl.AdamW(params), lrdsl.AdamW(params, schedule="hold()", reschedule=True)
    for optimizer in (plain, scheduled):
        optimizer.load_state_dict(saved)
        group = optimizer.param_groups[0]
        assert (group["betas"], group["eps"], group["weight_decay"], group["amsgrad"]) == ((0.8, 0.9), 1e-4, 0.3, True)
    assert plain.param_groups[0]["lr"] == 0.5
    assert scheduled.param_groups[0]["lr"] == 1e-3 == scheduled.param_groups[0]["initial_lr"]


def test_adamw_stays_adamw() -> None:
    params = parameters([(3,)])
    optimizer = lrdsl.AdamW(params)
    optimizer.load_state_dict(torch.optim.Adam(params).state_dict())
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is True
    optimizer = lrdsl.Adam(params)
    optimizer.load_state_dict(torch.optim.AdamW(params).state_dict())
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is True


def test_hooks_see_the_whole_dict() -> None:
    params = parameters([(3,)])
    optimizer = lrdsl.SGD(params, schedule="hold()")
    seen: list[str] = []
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("pre"))
    optimizer.register_state_dict_post_hook(lambda o, d: d | {"note": d["param_groups"][0]["schedule_step"]})
    optimizer.register_load_state_dict_pre_hook(lambda o, d: seen.append(f"note {d['note']}"))
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append("post"))
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    assert seen == ["pre", "note 1", "post"]


# --- what does not fit ----------------------------------------------------------------------------------------------

Change = Callable[[dict[str, Any]], Any]


def with_dictionaries(saved: dict[str, Any]) -> dict[str, Any]:
    """The state dict as it was before its records became JSON."""
    saved = copy.deepcopy(saved)
    for group in saved["param_groups"]:
        group.update({key: json.loads(group[key]) for key in ("schedule_context", "schedule_state")})
    return saved


def test_dictionaries_of_before() -> None:
    params = parameters(SHAPES)
    a, b = (
        lrdsl.AdamW(params, schedule=TEXT, total_steps=100),
        lrdsl.AdamW(twins(params), schedule=TEXT, total_steps=100),
    )
    run(a, params, range(2))
    a.observe(1.0)
    b.load_state_dict(with_dictionaries(a.state_dict()))
    assert b.state_dict()["param_groups"] == a.state_dict()["param_groups"]


def _group(**entries: Any) -> Change:
    return lambda d: d["param_groups"][0].update(entries)


def _tensor(key: str, value: Any) -> Change:
    return lambda d: d["state"][0].update({key: value})


BAD: dict[str, tuple[Change, str]] = {
    "no groups": (lambda d: d.pop("param_groups"), "state and param_groups"),
    "no state": (lambda d: d.pop("state"), "state and param_groups"),
    "state is a list": (lambda d: d.update(state=[]), "state and param_groups"),
    "groups are numbers": (lambda d: d.update(param_groups=[1]), "state and param_groups"),
    "a group less": (lambda d: d["param_groups"].pop(), "expected 2 parameter groups, got 1"),
    "a parameter less": (lambda d: d["param_groups"][0]["params"].pop(), "group 0: expected 2 parameters, got 1"),
    "a parameter twice": (lambda d: d["param_groups"][0].update(params=[0, 0]), "listed twice"),
    "an unknown parameter": (lambda d: d["state"].update({7: {}}), "state for 7"),
    "state of a number": (lambda d: d["state"].update({0: 1.0}), "expected a dict"),
    "shape": (
        _tensor("exp_avg", torch.zeros(4)),
        r"exp_avg of group 0, parameter 0: expected shape \(7,\), got \(4,\)",
    ),
    "shape of the last": (
        lambda d: d["state"][2].update(exp_avg_sq=torch.zeros(4)),
        "exp_avg_sq of group 1, parameter 0",
    ),
    "integers": (_tensor("exp_avg", torch.zeros(7, dtype=torch.int64)), "dense tensor of floats"),
    "sparse": (_tensor("exp_avg", torch.zeros(7).to_sparse()), "dense tensor of floats"),
    "complex": (_tensor("exp_avg", torch.zeros(7, dtype=torch.complex64)), "dense tensor of floats"),
    "a number for a tensor": (_tensor("exp_avg", 0.0), "dense tensor of floats"),
    "a key less": (lambda d: d["state"][0].pop("exp_avg"), "state of group 0, parameter 0: expected"),
    "a key more": (_tensor("momentum_buffer", torch.zeros(7)), "state of group 0, parameter 0: expected"),
    "negative step": (_tensor("step", torch.tensor(-1.0)), "whole number"),
    "nan step": (_tensor("step", torch.tensor(float("nan"))), "whole number"),
    "infinite step": (_tensor("step", torch.tensor(float("inf"))), "whole number"),
    "half a step": (_tensor("step", torch.tensor(0.5)), "whole number"),
    "nan lr": (_group(lr=float("nan")), "group 0: expected lr"),
    "negative weight decay": (_group(weight_decay=-1.0), "group 0: expected weight_decay"),
    "beta of 1": (_group(betas=(0.9, 1.0)), "group 0: expected beta2"),
    "one beta": (_group(betas=(0.9,)), "betas|unpack"),
    "eps is text": (_group(eps="small"), "group 0: expected eps"),
    "names": (_group(param_names=["a"]), "group 0: expected 2 parameter names"),
    "negative clock": (lambda d: [g.update(schedule_step=-1) for g in d["param_groups"]], "schedule_step"),
    "clock is text": (lambda d: [g.update(schedule_step="1") for g in d["param_groups"]], "schedule_step"),
    "clocks disagree": (_group(schedule_step=5), "disagree"),
    "state of the schedule is text": (_group(schedule_state={"lr": {"plateau.bad": "1"}}), "text and numbers"),
    "a slot less": (_group(schedule_state={"lr": {"plateau.bad": 1.0}}), "plateau"),
    "no schedule state": (_group(schedule_state={}), "modifier"),
    "nan applied": (lambda d: d["param_groups"][0]["schedule_state"]["applied"].update(lr=float("nan")), "applied"),
    "a fault to come": (lambda d: d["param_groups"][1]["schedule_state"]["faults"].update(lr=9), "between 0 and 2"),
    "an origin to come": (lambda d: d["param_groups"][1]["schedule_context"].update(origin=9), "between 0 and 2"),
    "context is a list": (_group(schedule_context=[]), "text and numbers"),
    "context is no JSON": (_group(schedule_context="{"), "text and numbers"),
    "context is JSON of a list": (_group(schedule_context="[]"), "text and numbers"),
    "another language": (_group(schedule_language=2), "language 2"),
    "another text": (_group(schedule="hold()"), r"a different one: `hold\(\)`"),
    "another base": (lambda d: d["param_groups"][0]["schedule_context"].update(base_lr=7.0), r"base_lr was 7\.0"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_state_changes_nothing(name: str) -> None:
    change, message = BAD[name]
    params = parameters([(7,), (4, 3), (5,)])
    groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.5}]
    optimizer = lrdsl.AdamW(groups, schedule=TEXT, total_steps=100)
    run(optimizer, params, range(2))
    saved = with_dictionaries(optimizer.state_dict())
    run(optimizer, params, range(2, 4))
    optimizer.observe(1.0)
    change(saved)
    before = fingerprint(optimizer)
    with pytest.raises((lrdsl.ScheduleError, ValueError, TypeError), match=message):
        optimizer.load_state_dict(saved)
    assert fingerprint(optimizer) == before
    run(optimizer, params, range(4, 5))


def test_sgds_state_does_not_fit_adam() -> None:
    params = parameters([(3,)])
    sgd = lrdsl.SGD(params, momentum=0.9)
    run(sgd, params, range(1))
    with pytest.raises(ValueError, match="state of group 0, parameter 0: expected exp_avg"):
        lrdsl.Adam(params).load_state_dict(sgd.state_dict())


JUNK = [
    None,
    -1,
    3,
    2**60,
    0.5,
    float("nan"),
    float("inf"),
    "junk",
    [],
    {},
    (),
    [0],
    True,
    torch.zeros(2),
    torch.tensor(2),
]


def _mutate(value: Any, dice: random.Random) -> Any:
    """A copy with one thing in it replaced, removed or added."""
    if isinstance(value, dict) and value and dice.random() < 0.95:
        changed = dict(value)
        key = dice.choice(list(changed))
        action = dice.random()
        if action < 0.1:
            del changed[key]
        elif action < 0.15:
            changed["extra"] = dice.choice(JUNK)
        else:
            changed[key] = _mutate(value[key], dice)
        return changed
    if isinstance(value, list | tuple) and value and dice.random() < 0.9:
        changed = list(value)
        index = dice.randrange(len(changed))
        changed[index] = _mutate(changed[index], dice)
        return type(value)(changed)
    return dice.choice(JUNK)


@pytest.mark.parametrize("kind", ["momentum", "amsgrad"])
def test_mutated_states_load_or_change_nothing(kind: str) -> None:
    dice = random.Random(0)
    params = parameters([(7,), (4, 3), (5,)])
    groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.5}]
    optimizer = KINDS[kind].ours(groups, schedule=TEXT, total_steps=100, lr=torch.tensor(0.1))
    run(optimizer, params, range(2))
    optimizer.observe(1.0)
    good = copy.deepcopy(optimizer.state_dict())
    refused = 0
    for _ in range(400):
        before = fingerprint(optimizer)
        try:
            optimizer.load_state_dict(_mutate(good, dice))
        except (ValueError, TypeError, RuntimeError):
            refused += 1
            assert fingerprint(optimizer) == before
        fill_gradients(params, seed=0)
        optimizer.step()
        optimizer.load_state_dict(good)
    assert 100 < refused < 400
