"""Clipping, skipping, zeroing and the norm of the gradients, inside the step."""

from __future__ import annotations

import copy
import ctypes
import math
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from torch.nn import Parameter  # noqa: E402
from torch.nn.utils import clip_grad_norm_, get_total_norm  # noqa: E402

import lrdsl  # noqa: E402
from lrdsl.evaluators import native  # noqa: E402
from lrdsl.optim.neighbours import Control  # noqa: E402
from tests.optim.inputs import transposed  # noqa: E402
from tests.optim.peers import (  # noqa: E402
    BACKENDS,
    HALVES,
    KINDS,
    assert_close,
    copy_gradients,
    fill_gradients,
    fingerprint,
    needs_native,
    parameters,
    twins,
    widened,
)

SHAPES = [(5,), (4, 16), (0,), (4099,), (1,)]
PLATEAU = "hold() | plateau(metric=grad_norm, patience=0, factor=0.5)"
NOT_FINITE = [math.nan, math.inf, -math.inf]


def mixed() -> list[Parameter]:
    return [p for dtype in (torch.float32, torch.float64, *HALVES) for p in parameters(SHAPES, dtype)]


def remember(params: Sequence[Parameter]) -> list[torch.Tensor]:
    return [p.detach().clone() for p in params]


# --- clipping and the norm ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_norm", [0.5, 50.0, 1e6])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_clips_as_torch(kind: str, backend: str, max_norm: float) -> None:
    ours = [p for dtype in (torch.float32, torch.float64) for p in parameters(SHAPES, dtype)]
    theirs = twins(ours)
    a = KINDS[kind].ours(ours, backend=backend, max_grad_norm=max_norm)
    b = KINDS[kind].theirs(theirs, foreach=False)
    for step in range(5):
        largest = fill_gradients(ours, theirs, seed=step)
        ours[step].grad = theirs[step].grad = None
        before = [None if p.grad is None else p.grad.clone() for p in ours]
        norm = clip_grad_norm_(theirs, max_norm)
        a.step()
        b.step()
        assert a.grad_norm.item() == pytest.approx(norm.item(), rel=1e-6)
        for p, grad in zip(ours, before, strict=True):
            assert p.grad is grad is None or torch.equal(p.grad, grad), "gradients in memory stay as they are"
    scale = 1.0 if kind.startswith("ad") or kind == "amsgrad" else min(1.0, max_norm / norm.item())
    assert_close(
        ours[: len(SHAPES)],
        theirs[: len(SHAPES)],
        KINDS[kind].options["lr"] * scale,
        largest / (1 - KINDS[kind].momentum),
    )
    for p, q in zip(ours[len(SHAPES) :], theirs[len(SHAPES) :], strict=True):
        torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-7)  # torch's factor is a float32


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_clips_low_precision_in_float32(kind: str, backend: str, dtype: Any) -> None:
    """The same bits as a float32 run: the gradient is not rounded between clipping and update."""
    ours = parameters(SHAPES, dtype)
    theirs = widened(ours)
    a = KINDS[kind].ours(ours, backend=backend, max_grad_norm=0.3, master_weights=True)
    b = KINDS[kind].ours(theirs, backend=backend, max_grad_norm=0.3)
    for step in range(3):
        fill_gradients(ours, seed=step)
        copy_gradients(ours, theirs)
        a.step()
        b.step()
        assert torch.equal(a.grad_norm, b.grad_norm)
        assert all(torch.equal(a.state[p]["master"], q) for p, q in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_small_norm_is_left_alone(kind: str, backend: str) -> None:
    ours, theirs = parameters(SHAPES), parameters(SHAPES)
    a, b = KINDS[kind].ours(ours, backend=backend, max_grad_norm=1e6), KINDS[kind].ours(theirs, backend=backend)
    for step in range(3):
        fill_gradients(ours, theirs, seed=step)
        a.step()
        b.step()
    assert all(map(torch.equal, ours, theirs))
    assert b.grad_norm.isnan(), "nobody asked"


@pytest.mark.parametrize("size", [1e-10, 1.0, 1e10])
@pytest.mark.parametrize("options", [{"max_grad_norm": 1.0}, {"skip_nonfinite": True}, {"schedule": PLATEAU}], ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
def test_grad_norm(backend: str, options: dict[str, Any], size: float) -> None:
    params = parameters([*SHAPES, (70_001,)]) + parameters(SHAPES, torch.bfloat16) + parameters([(3,)], torch.float64)
    optimizer = lrdsl.SGD([{"params": params[:3]}, {"params": params[3:]}], lr=0.0, backend=backend, **options)
    assert optimizer.grad_norm.isnan()
    fill_gradients(params, seed=0)
    for p in params:
        p.grad *= size
    params[3].grad = None
    optimizer.step()
    norm = optimizer.grad_norm
    assert (norm.dtype, norm.shape, norm.device) == (torch.float64, (), params[0].device)
    exact = get_total_norm([p.grad.double() for p in params if p.grad is not None])
    assert norm.item() == pytest.approx(exact.item(), rel=1e-6)
    for p in params:
        p.grad = None
    optimizer.step()
    assert optimizer.grad_norm == 0.0 and norm != 0.0 and optimizer.clock == 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_grad_norm_does_not_depend_on_layout(backend: str) -> None:
    norms = []
    for layout in (torch.Tensor.contiguous, transposed):
        (p,) = parameters([(40, 50)])
        optimizer = lrdsl.AdamW([p], max_grad_norm=1.0, backend=backend)
        fill_gradients([p], seed=0)
        p.grad = layout(p.grad)
        optimizer.step()
        norms.append(optimizer.grad_norm.item())
    assert norms[0] == norms[1]


@pytest.mark.parametrize("poison", NOT_FINITE)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_finite_reaches_the_parameters(kind: str, backend: str, poison: float) -> None:
    """As with torch: an infinite norm makes the factor 0, a nan makes everything nan."""
    ours, theirs = parameters(SHAPES), parameters(SHAPES)
    a = KINDS[kind].ours(ours, backend=backend, max_grad_norm=1.0)
    b = KINDS[kind].theirs(theirs, foreach=False)
    for step in range(3):
        fill_gradients(ours, theirs, seed=step)
        if step == 1:
            ours[1].grad[0, 3] = theirs[1].grad[0, 3] = poison
        clip_grad_norm_(theirs, 1.0)
        a.step()
        b.step()
    assert any(p.isnan().any() for p in ours) and a.skipped == 0 and a.clock == 3
    assert_close(ours, theirs, KINDS[kind].options["lr"], 4.0 / (1 - KINDS[kind].momentum))


# --- skipping -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("poison", NOT_FINITE)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_skip_nonfinite(kind: str, backend: str, poison: float) -> None:
    """A run in which some steps are skipped is the run without them, the first step included."""
    ours, theirs = mixed(), mixed()
    text = "warmup(2) >> cosine(9)"
    a = KINDS[kind].ours(ours, backend=backend, skip_nonfinite=True, max_grad_norm=1.0, schedule=text)
    b = KINDS[kind].ours(theirs, backend=backend, max_grad_norm=1.0, schedule=text)
    for step in range(8):
        fill_gradients(ours, theirs, seed=step)
        skipped = step in (0, 3, 4)
        if skipped:
            ours[step].grad.view(-1)[-1] = poison
            published = a.param_groups[0]["lr"]
            before = remember(ours)
            a.step()
            assert a.param_groups[0]["lr"] is published
            assert all(map(torch.equal, ours, before)) and not a.grad_norm.isfinite()
        else:
            a.step()
            b.step()
    assert (a.skipped, a.clock, b.skipped, b.clock) == (3, 5, 0, 5)
    assert all(map(torch.equal, ours, theirs))
    for p, q in zip(ours, theirs, strict=True):
        assert all(torch.equal(value, b.state[q][key]) for key, value in a.state[p].items())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_skip_changes_no_bit(kind: str, backend: str) -> None:
    params = mixed()
    optimizer = KINDS[kind].ours(
        params, backend=backend, skip_nonfinite=True, schedule="cosine(9)", master_weights=True
    )
    fill_gradients(params, seed=0)
    optimizer.step()
    before = fingerprint(optimizer)
    versions = [p._version for p in params]
    params[3].grad[7] = math.nan
    assert optimizer.step(lambda: 2.5) == 2.5
    assert (fingerprint(optimizer), optimizer.skipped, optimizer.clock) == (before, 1, 1)
    assert [p._version for p in params] == versions


# --- zeroing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_zero_grads(kind: str, backend: str, clip: float | None) -> None:
    """The same update, zeros afterwards, in the same tensors."""
    ours, theirs = mixed(), mixed()
    a = KINDS[kind].ours(ours, backend=backend, zero_grads=True, max_grad_norm=clip)
    b = KINDS[kind].ours(theirs, backend=backend, max_grad_norm=clip)
    for step in range(3):
        fill_gradients(ours, theirs, seed=step)
        ours[step].grad = theirs[step].grad = None
        grads = [p.grad for p in ours if p.grad is not None]
        places = [(grad.data_ptr(), grad._version) for grad in grads]
        a.step()
        b.step()
        assert not any(grad.any() for grad in grads) and any(p.grad.any() for p in theirs if p.grad is not None)
        for p, place, grad in zip([p for p in ours if p.grad is not None], places, grads, strict=True):
            assert p.grad is grad and p.grad.data_ptr() == place[0] and p.grad._version > place[1]
    assert all(map(torch.equal, ours, theirs))


def _negative(grad: torch.Tensor) -> torch.Tensor:
    return torch._neg_view(-grad)


def _every_other(grad: torch.Tensor) -> torch.Tensor:
    return torch.stack([grad, grad], -1)[..., 0]


@pytest.mark.parametrize("layout", [transposed, _negative, _every_other])
@pytest.mark.parametrize("skip", [False, True], ids=["updated", "skipped"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_zeroes_gradients_of_any_layout(backend: str, skip: bool, layout: Callable[[Any], Any]) -> None:
    ours, theirs = parameters([(4, 6), (3, 5)]), parameters([(4, 6), (3, 5)])
    a = lrdsl.AdamW(ours, backend=backend, zero_grads=True, skip_nonfinite=True)
    b = lrdsl.AdamW(theirs, backend=backend)
    for step in range(3):
        fill_gradients(ours, theirs, seed=step)
        ours[0].grad = layout(ours[0].grad)
        assert not torch.equal(ours[0].grad, torch.zeros_like(ours[0]))
        if skip and step == 1:
            ours[1].grad[0, 0] = math.inf
            a.step()
        else:
            a.step()
            b.step()
        assert not any(p.grad.any() for p in ours)
    assert a.skipped == skip
    assert all(torch.allclose(p, q, rtol=1e-6) for p, q in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_zeroes_shared_gradients_at_the_end(backend: str) -> None:
    """One gradient for two parameters: both see it."""
    params = [Parameter(torch.zeros(6)) for _ in range(3)]
    shared = torch.ones(6)
    params[0].grad = params[2].grad = shared
    params[1].grad = torch.ones(6)
    optimizer = lrdsl.SGD(params, lr=1.0, zero_grads=True, backend=backend)
    optimizer.step()
    assert [p.tolist() for p in params] == [[-1.0] * 6] * 3
    assert not shared.any() and not params[1].grad.any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gradient_that_cannot_be_zeroed(backend: str) -> None:
    params = parameters([(5,), (6,)])
    optimizer = lrdsl.AdamW(params, backend=backend, zero_grads=True)
    fill_gradients(params, seed=0)
    optimizer.step()
    params[0].grad.fill_(1.0)
    params[1].grad = torch.ones(1).expand(6)
    before = fingerprint(optimizer)
    for _ in range(2):
        with pytest.raises(ValueError, match="gradient of group 0, parameter 1 overlaps itself"):
            optimizer.step()
        assert fingerprint(optimizer) == before and params[0].grad.all()
    plain = lrdsl.AdamW(params, backend=backend)
    plain.step()  # otherwise it will do


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_skipped_step_leaves_zeros(backend: str) -> None:
    """An inf that stayed would skip every step of a loop that leaves zeroing to the optimizer."""
    params = parameters(SHAPES)
    optimizer = lrdsl.AdamW(params, backend=backend, zero_grads=True, skip_nonfinite=True)
    for step in range(3):
        fill_gradients(params, seed=step)
        if step == 1:
            params[0].grad[0] = math.inf
        optimizer.step()
        assert not any(p.grad.any() for p in params)
    assert (optimizer.skipped, optimizer.clock) == (1, 2)


# --- schedules that listen ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("backend", BACKENDS)
def test_acts_on_the_same_update(backend: str, clip: float | None) -> None:
    (p,) = parameters([(4,)])
    optimizer = lrdsl.SGD([p], lr=1.0, schedule=PLATEAU, max_grad_norm=clip, backend=backend)
    for size, rate in ((1.0, 1.0), (0.5, 1.0), (2.0, 0.5), (4.0, 0.25), (0.25, 0.25)):
        p.grad = torch.full((4,), size / 2)  # of norm `size`
        before = p.detach().clone()
        optimizer.step()
        assert optimizer.grad_norm.item() == size, "before clipping"
        clipped = 1.0 if clip is None else min(1.0, clip / (size + 1e-6))
        torch.testing.assert_close(p.detach(), before - rate * clipped * p.grad)
        assert optimizer.param_groups[0]["lr"] == rate
    assert optimizer.clock == 5


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_skipped_step_reports_nothing(backend: str) -> None:
    (p,) = parameters([(4,)])
    optimizer = lrdsl.SGD([p], lr=1.0, schedule=PLATEAU, skip_nonfinite=True, backend=backend)
    rates = []
    for size in (1.0, math.nan, 0.5, math.inf, 0.25):
        p.grad = torch.full((4,), size / 2)
        optimizer.step()
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [1.0] * 5  # an inf or nan would have counted as a bad report
    assert (optimizer.clock, optimizer.skipped) == (3, 2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_group_and_target_that_listens(backend: str) -> None:
    params = parameters([(4,), (4,)])
    texts = ["hold()", f"lr = hold(); momentum = {PLATEAU}"]
    groups = [{"params": [p], "schedule": text} for p, text in zip(params, texts, strict=True)]
    optimizer = lrdsl.SGD(groups, lr=0.1, momentum=0.8, backend=backend)
    for size in (1.0, 2.0):
        for p in params:
            p.grad = torch.full((4,), size / math.sqrt(8))
        optimizer.step()
        assert optimizer.grad_norm.item() == pytest.approx(size)
    assert [group["momentum"] for group in optimizer.param_groups] == [0.8, 0.4]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_momentum_that_comes_with_the_report(backend: str) -> None:
    """0 at first, so there is no buffer; the report that raises it makes one before the same update."""
    (p,) = parameters([(4,)])
    text = "lr = hold(); momentum = constant(0.8) - (constant(0.8) | plateau(metric=grad_norm, patience=0, factor=0.5))"
    optimizer = lrdsl.SGD([p], lr=1.0, momentum=0.8, schedule=text, backend=backend)
    for size, momentum in ((1.0, 0.0), (2.0, 0.4)):
        p.grad = torch.full((4,), size / 2)
        optimizer.step()
        assert optimizer.param_groups[0]["momentum"] == pytest.approx(momentum)
        assert ("momentum_buffer" in optimizer.state.get(p, {})) is (momentum != 0)
    assert torch.equal(optimizer.state[p]["momentum_buffer"], p.grad), "the first gradient enters undamped"


@pytest.mark.parametrize("text", [PLATEAU, "hold()", None])
def test_grad_norm_is_not_for_users_to_report(text: str | None) -> None:
    optimizer = lrdsl.SGD(parameters([(3,)]), schedule=text)
    before = fingerprint(optimizer)
    with pytest.raises(ValueError, match="grad_norm is reported by the optimizer itself"):
        optimizer.observe(1.0, metric="grad_norm")
    assert fingerprint(optimizer) == before


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_error_reports_nothing(backend: str) -> None:
    params = parameters([(4,), (5,)])
    optimizer = lrdsl.AdamW(params, schedule=PLATEAU, backend=backend)
    fill_gradients(params, seed=0)
    optimizer.step()
    norm = optimizer.grad_norm.item()
    for wrong in (torch.ones(2), torch.ones(5).half()):
        params[1].grad = None
        params[1].grad = torch.ones(5)
        params[1].grad.data = wrong
        before = fingerprint(optimizer)
        with pytest.raises((TypeError, ValueError), match="gradient of group 0, parameter 1"):
            optimizer.step()
        assert fingerprint(optimizer) == before and optimizer.grad_norm == norm and optimizer.clock == 1


# --- arguments and copies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_grad_norm": 0.0}, ValueError, "max_grad_norm to be a finite number > 0, got 0.0"),
        ({"max_grad_norm": -1}, ValueError, "max_grad_norm to be a finite number > 0, got -1"),
        ({"max_grad_norm": math.inf}, ValueError, "max_grad_norm to be a finite number > 0, got inf"),
        ({"max_grad_norm": math.nan}, ValueError, "max_grad_norm to be a finite number > 0, got nan"),
        ({"max_grad_norm": "1"}, TypeError, "max_grad_norm to be a number or None, got '1'"),
        ({"max_grad_norm": True}, TypeError, "max_grad_norm to be a number or None, got True"),
        ({"skip_nonfinite": 1}, TypeError, "skip_nonfinite to be True or False, got 1"),
        ({"zero_grads": None}, TypeError, "zero_grads to be True or False, got None"),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_arguments(name: str, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(lrdsl, name)(parameters([(3,)]), **options)


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_copies_keep_everything(backend: str, copier: Callable[[Any], Any]) -> None:
    params = parameters(SHAPES)
    optimizer = lrdsl.AdamW(params, max_grad_norm=0.5, skip_nonfinite=True, zero_grads=True, backend=backend)
    for step in range(2):
        fill_gradients(params, seed=step)
        params[0].grad[0] += (math.inf, 0.0)[step]
        optimizer.step()
    twin = copier(optimizer)
    assert twin.neighbours == optimizer.neighbours and twin.neighbours.max_grad_norm == 0.5
    assert twin.skipped == 1 and torch.equal(twin.grad_norm, optimizer.grad_norm)
    others = twin.param_groups[0]["params"]
    for side, mine in ((optimizer, params), (twin, others)):
        fill_gradients(mine, seed=7)
        side.step()
        mine[0].grad[0] = math.inf
        side.step()
        assert side.skipped == 2 and not mine[0].grad.any()
    assert all(map(torch.equal, params, others))


def test_the_state_dict_is_as_without() -> None:
    """What surrounds the update is the constructor's."""
    params = parameters(SHAPES)
    plain = lrdsl.AdamW(params)
    other = lrdsl.AdamW(params, max_grad_norm=0.5, skip_nonfinite=True, zero_grads=True)
    assert plain.state_dict() == other.state_dict()
    other.load_state_dict(plain.state_dict())
    assert other.neighbours.max_grad_norm == 0.5


@needs_native
def test_the_control_record_is_the_native_one() -> None:
    module: Any = native.extension()
    formats = {ctypes.c_double: "f8", ctypes.c_uint64: "u8", ctypes.c_int64: "i8"}
    ours = [(name, formats[kind], getattr(Control, name).offset) for name, kind in Control._fields_]
    assert ours == module.CONTROL_DTYPE and ctypes.sizeof(Control) == module.CONTROL_SIZE
