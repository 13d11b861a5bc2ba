"""What cannot be used is refused in a sentence, before anything is written; what looks odd but is right is taken."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

import numpy as np  # noqa: E402
from torch.nn import Parameter  # noqa: E402

import lrdsl  # noqa: E402
from lrdsl.optim.moments import FLOAT32_COUNTS  # noqa: E402
from tests.optim.peers import BACKENDS, assert_close, fill_gradients, fingerprint, parameters, twins  # noqa: E402

ROOT = Path(lrdsl.__file__).parents[1]
CLONES = [
    pytest.param(copy.deepcopy, id="deepcopy"),
    pytest.param(lambda optimizer: pickle.loads(pickle.dumps(optimizer)), id="pickle"),
]


def stepped(cls: str = "AdamW", count: int = 2, steps: int = 2, **options: Any) -> tuple[Any, list[Any]]:
    params = parameters([(5,)] * count)
    optimizer = getattr(lrdsl, cls)(params, **{"lr": 0.1} | options)
    for step in range(steps):
        fill_gradients(params, seed=step)
        optimizer.step()
    return optimizer, params


# --- step counts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "step",
    [
        torch.tensor(7),
        torch.tensor(7, dtype=torch.int32),
        torch.tensor(7.0, dtype=torch.float16),
        torch.tensor([7.0]),
        torch.tensor(7.0, dtype=torch.float64),
        7,
        7.0,
        np.float32(7),
    ],
    ids=repr,
)
def test_a_step_in_another_form(step: Any, backend: str) -> None:
    optimizer, params = stepped(backend=backend)
    reference, others = stepped(backend=backend)
    optimizer.state[params[0]]["step"] = copy.deepcopy(step)
    reference.state[others[0]]["step"] = torch.tensor(7.0)
    optimizer.init_state()
    reference.init_state()
    for seed in range(3):
        fill_gradients(params, others, seed=seed)
        optimizer.step()
        reference.step()
    kept = optimizer.state[params[0]]["step"]
    assert kept.item() == 10 and kept.dtype in (torch.float32, torch.float64) and kept.device.type == "cpu"
    assert all(map(torch.equal, params, others))


def test_an_integer_step_that_float32_cannot_hold() -> None:
    optimizer, params = stepped()
    optimizer.state[params[0]]["step"] = torch.tensor(FLOAT32_COUNTS + 1)
    optimizer.init_state()
    optimizer.step()
    assert optimizer.state[params[0]]["step"].item() == FLOAT32_COUNTS + 2


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (torch.tensor(float("nan")), ValueError, "whole number >= 0, got nan"),
        (torch.tensor(-1), ValueError, r"whole number >= 0, got -1\.0"),
        (torch.tensor(1.5), ValueError, r"whole number >= 0, got 1\.5"),
        (float("inf"), ValueError, "whole number >= 0, got inf"),
        (torch.zeros(2), ValueError, r"one whole number, got torch.float32 of \(2,\)"),
        (torch.zeros((), device="meta"), ValueError, "one whole number"),
        ("3", TypeError, "whole number, got str"),
    ],
    ids=str,
)
def test_a_step_that_is_none(step: Any, error: Any, message: str, backend: str) -> None:
    optimizer, params = stepped(backend=backend)
    optimizer.state[params[1]]["step"] = step
    before = [p.detach().clone() for p in params]
    with pytest.raises(error, match=rf"step of group 0, parameter 1: expected (a )?{message}"):
        optimizer.init_state()
    assert all(map(torch.equal, params, before)) and optimizer.clock == 2

    optimizer, params = stepped(backend=backend)
    saved = copy.deepcopy(optimizer.state_dict())
    saved["state"][1]["step"] = step
    unchanged = fingerprint(optimizer)
    with pytest.raises(error, match="step of group 0, parameter 1"):
        optimizer.load_state_dict(saved)
    assert fingerprint(optimizer) == unchanged


# --- loading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", ["SGD", "AdamW"])
def test_a_state_dict_that_is_the_live_state(cls: str) -> None:
    optimizer, params = stepped(cls, **({"momentum": 0.9} if cls == "SGD" else {"amsgrad": True}))
    saved = optimizer.state_dict()
    expected = [copy.deepcopy(optimizer.state[p]) for p in reversed(params)]
    saved["state"][0], saved["state"][1] = saved["state"][1], saved["state"][0]
    optimizer.load_state_dict(saved)
    for p, state in zip(params, expected, strict=True):
        assert optimizer.state[p].keys() == state.keys()
        assert all(torch.equal(optimizer.state[p][key], state[key]) for key in state)
    once = fingerprint(optimizer)
    optimizer.load_state_dict(optimizer.state_dict())
    assert fingerprint(optimizer) == once


def test_views_of_the_live_state() -> None:
    optimizer, params = stepped("SGD", momentum=0.9)
    saved = optimizer.state_dict()
    first, second = (optimizer.state[p]["momentum_buffer"] for p in params)
    expected = second.flip(0), first.clone()
    saved["state"] = {0: {"momentum_buffer": second.flip(0)}, 1: {"momentum_buffer": first.view(1, 5)[0]}}
    optimizer.load_state_dict(saved)
    assert torch.equal(first, expected[0]) and torch.equal(second, expected[1])


@pytest.mark.parametrize("side", ["saved", "live", "both"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_state_that_requires_grad(side: str, backend: str) -> None:
    optimizer, params = stepped(backend=backend)
    saved = copy.deepcopy(optimizer.state_dict())
    if side != "live":
        saved["state"][1]["exp_avg"] = (saved["state"][1]["exp_avg"] + 1).requires_grad_()
    if side != "saved":
        optimizer.state[params[1]]["exp_avg"].requires_grad_()
    optimizer.load_state_dict(saved)
    assert torch.equal(optimizer.state[params[1]]["exp_avg"], saved["state"][1]["exp_avg"])
    assert not optimizer.state[params[1]]["exp_avg"].requires_grad
    optimizer.step()


def test_live_state_that_cannot_be_written() -> None:
    optimizer, params = stepped()
    saved = copy.deepcopy(optimizer.state_dict())
    optimizer.state[params[0]]["exp_avg"] = torch.zeros(1).expand(5)
    with torch.inference_mode():
        optimizer.state[params[1]]["exp_avg"] = torch.zeros(5)
    optimizer.load_state_dict(saved)
    for index, p in enumerate(params):
        assert torch.equal(optimizer.state[p]["exp_avg"], saved["state"][index]["exp_avg"])
    optimizer.step()


def test_a_saved_moment_without_values() -> None:
    optimizer, _ = stepped()
    saved = copy.deepcopy(optimizer.state_dict())
    saved["state"][1]["exp_avg"] = torch.zeros(5, device="meta")
    before = fingerprint(optimizer)
    with pytest.raises(TypeError, match="exp_avg of group 0, parameter 1"):
        optimizer.load_state_dict(saved)
    assert fingerprint(optimizer) == before


@pytest.mark.parametrize("cls", ["SGD", "Adam", "AdamW"])
def test_a_differentiable_checkpoint(cls: str) -> None:
    optimizer, _ = stepped(cls)
    saved = copy.deepcopy(optimizer.state_dict())
    saved["param_groups"][0]["differentiable"] = True
    before = fingerprint(optimizer)
    with pytest.raises(ValueError, match="group 0: differentiable=True"):
        optimizer.load_state_dict(saved)
    with pytest.raises(ValueError, match="group 1: differentiable=True"):
        optimizer.add_param_group({"params": parameters([(3,)]), "differentiable": True})
    assert fingerprint(optimizer) == before


def test_a_capturable_checkpoint_is_read() -> None:
    """Where torch kept its step counts says nothing about the numbers."""
    optimizer, _ = stepped()
    saved = copy.deepcopy(optimizer.state_dict())
    saved["param_groups"][0]["capturable"] = True
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["capturable"] is False


# --- copies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clone", CLONES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_copy_knows_which_buffers_have_started(backend: str, clone: Any) -> None:
    """A buffer of zeros may be one that has seen zeros, or one that has seen nothing."""
    params = parameters([(5,), (5,), (5,)])
    optimizer = lrdsl.SGD(
        [{"params": params[:1]}, {"params": params[1:]}], lr=0.1, momentum=0.9, dampening=0.5, backend=backend
    )
    for p in params:
        p.grad = torch.zeros(5)
    params[1].grad = None
    optimizer.step()
    optimizer.init_state()
    twin = clone(optimizer)
    again = clone(twin)
    assert {id(p) for p in optimizer._unstarted} == {id(params[1])}
    for side in (optimizer, twin, again):
        for group in side.param_groups:
            for p in group["params"]:
                p.grad = torch.ones(5)
        side.step()
    states = [[s["momentum_buffer"] for s in side.state.values()] for side in (optimizer, twin, again)]
    assert all(map(torch.equal, states[0], states[1])) and all(map(torch.equal, states[0], states[2]))
    values = [optimizer.state[p]["momentum_buffer"][0].item() for p in params]
    assert values == [0.5, 1.0, 0.5]


# --- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "options", "error", "message"),
    [
        (
            "SGD",
            {"lr": torch.tensor(1)},
            TypeError,
            "group 0: expected lr to be .* a tensor of floats, got torch.int64",
        ),
        ("SGD", {"lr": torch.tensor(True)}, TypeError, "group 0: expected lr .* got torch.bool"),
        ("SGD", {"lr": torch.tensor(1j)}, TypeError, "group 0: expected lr .* got torch.complex64"),
        ("AdamW", {"capturable": True}, ValueError, "group 0: capturable=True: this step cannot be captured"),
        ("Adam", {"capturable": True}, ValueError, "group 0: capturable=True"),
        ("AdamW", {"differentiable": True}, ValueError, "group 0: differentiable=True"),
        ("Adam", {"betas": (0.9,)}, ValueError, r"group 0: expected betas to be two numbers, got \(0\.9,\)"),
        ("Adam", {"betas": 0.9}, ValueError, r"group 0: expected betas to be two numbers, got 0\.9"),
        ("Adam", {"betas": torch.tensor(0.9)}, ValueError, "group 0: expected betas to be two numbers"),
        ("Adam", {"betas": (0.9, 0.99, 0.999)}, ValueError, "group 0: expected betas to be two numbers"),
        ("Adam", {"betas": None}, ValueError, "group 0: expected betas to be two numbers, got None"),
        ("Adam", {"amsgrad": "no"}, TypeError, "group 0: expected amsgrad to be True or False, got 'no'"),
        ("Adam", {"maximize": 1}, TypeError, "group 0: expected maximize to be True or False, got 1"),
        ("SGD", {"nesterov": "no"}, TypeError, "group 0: expected nesterov to be True or False"),
        ("SGD", {"differentiable": "no"}, TypeError, "group 0: expected differentiable to be True or False"),
        ("Adam", {"decoupled_weight_decay": None}, TypeError, "group 0: expected decoupled_weight_decay to be"),
        (
            "SGD",
            {"dampening": float("-inf")},
            ValueError,
            "group 0: expected dampening to be a finite number, got -inf",
        ),
        ("SGD", {"dampening": float("nan")}, ValueError, "group 0: expected dampening to be a finite number, got nan"),
        (
            "SGD",
            {"schedule": "hold()", "schedule_params": [1]},
            TypeError,
            "schedule_params to be a mapping .* got list",
        ),
        ("SGD", {"schedule": "hold()", "schedule_params": "k=1"}, TypeError, "schedule_params to be a mapping"),
    ],
    ids=str,
)
def test_refused_options(cls: str, options: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(lrdsl, cls)(parameters([(3,)]), **options)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_capturable(name: str) -> None:
    """All take it, torch keeps it in the groups of Adam only."""
    group = getattr(lrdsl, name)(parameters([(3,)]), capturable=False).param_groups[0]
    assert group.get("capturable") == getattr(torch.optim, name)(parameters([(3,)])).param_groups[0].get("capturable")
    with pytest.raises(ValueError, match="capturable=True: this step cannot be captured"):
        getattr(lrdsl, name)(parameters([(3,)]), capturable=True)


def test_an_integer_rate_of_a_later_group() -> None:
    optimizer, _ = stepped("SGD")
    with pytest.raises(TypeError, match="group 1: expected lr"):
        optimizer.add_param_group({"params": parameters([(3,)]), "lr": torch.tensor(1)})
    assert len(optimizer.param_groups) == 1


def test_switches_of_other_types() -> None:
    optimizer = lrdsl.Adam(parameters([(3,)]), amsgrad=np.bool_(True), maximize=torch.tensor(False))
    assert optimizer.param_groups[0]["amsgrad"] and not optimizer.param_groups[0]["maximize"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_negative_dampening_as_in_torch(backend: str) -> None:
    ours = parameters([(5,)])
    theirs = twins(ours)
    options = {"lr": 0.1, "momentum": 0.9, "dampening": -0.5}
    a = lrdsl.SGD(ours, backend=backend, schedule="hold()", **options)
    b = torch.optim.SGD(theirs, **options)
    for step in range(4):
        fill_gradients(ours, theirs, seed=step)
        a.step()
        b.step()
    assert_close(ours, theirs, 0.1, spread=40.0)
    a.load_state_dict(copy.deepcopy(a.state_dict()))


def test_negative_dampening_under_a_schedule() -> None:
    options = {"momentum": 0.9, "dampening": -0.5}
    made, params = stepped("SGD", steps=0, schedule="dampening = constant(0.5)", **options)
    made.load_state_dict(copy.deepcopy(made.state_dict()))
    assert made.param_groups[0]["dampening"] == 0.5
    branched = lrdsl.SGD(params, lr=0.1, schedule="linear(10)", reschedule="branch", **options)
    other, _ = stepped("SGD", schedule="hold()", **options)
    branched.load_state_dict(copy.deepcopy(other.state_dict()))
    assert branched.param_groups[0]["dampening"] == -0.5
    with pytest.raises(lrdsl.ScheduleError):
        stepped("SGD", schedule="dampening = linear(10, to=2x)", **options)


def test_the_clock_as_any_integer() -> None:
    optimizer, _ = stepped("SGD", schedule="linear(10)")
    for step in (np.int64(5), torch.tensor(5), 5):
        optimizer.set_clock(step)
        assert optimizer.clock == 5 and type(optimizer.clock) is int
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)
    for step in (True, 5.0, "5", None, -1, np.float64(5), np.bool_(True), 2**53):
        with pytest.raises(ValueError, match="expected the clock to be a whole number >= 0"):
            optimizer.set_clock(step)
    assert optimizer.clock == 5


# --- parameters and groups ------------------------------------------------------------------------------------------


def test_a_group_without_parameters() -> None:
    with pytest.raises(ValueError, match="expected a parameter group to have the key params, got lr"):
        lrdsl.SGD([{"lr": 0.1}])
    optimizer, _ = stepped("SGD")
    with pytest.raises(ValueError, match="expected a parameter group to have the key params, got none"):
        optimizer.add_param_group({})
    assert len(optimizer.param_groups) == 1


def test_a_model_that_has_not_run() -> None:
    model = torch.nn.LazyLinear(3)
    with pytest.raises(ValueError, match="group 0, parameter 0 has no shape yet: run the model once first"):
        lrdsl.AdamW(model.parameters())
    with pytest.raises(ValueError, match="weight has no shape yet"):
        lrdsl.AdamW(model.named_parameters())
    model(torch.zeros(2, 4))
    lrdsl.AdamW(model.parameters())


@pytest.mark.parametrize("backend", BACKENDS)
def test_inference_tensors(backend: str) -> None:
    with torch.inference_mode():
        made = Parameter(torch.zeros(5), requires_grad=False)
    with pytest.raises(ValueError, match="group 0, parameter 0 is an inference tensor"):
        lrdsl.SGD([made], backend=backend)
    optimizer, _ = stepped("SGD", backend=backend)
    with pytest.raises(ValueError, match="group 1, parameter 0 is an inference tensor"):
        optimizer.add_param_group({"params": [made]})
    assert len(optimizer.param_groups) == 1


# --- without torch --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_without_torch(name: str, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')\n")
    program = f"""
import lrdsl
assert lrdsl.compile("hold()", base_lr=1.0).lr(3) == 1.0
try:
    lrdsl.{name}
except ImportError as error:
    print(error, "|", error.__cause__)
"""
    path = os.pathsep.join([str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")])
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == f"lrdsl.{name} needs torch: pip install 'lrdsl[torch]' | no torch here"
