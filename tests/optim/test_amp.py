"""`torch.amp.GradScaler`: gradients unscaled inside the step, overflow skips it, clock included."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from torch.nn import Parameter  # noqa: E402
from torch.nn.utils import clip_grad_norm_  # noqa: E402

import lrdsl  # noqa: E402
from tests.optim.peers import (  # noqa: E402
    HALVES,
    KINDS,
    STEPS,
    assert_close,
    fill_gradients,
    fingerprint,
    parameters,
    twins,
)

SHAPES = [(5,), (4, 16), (0,), (1003,), (1,)]
SCALE = 2.0**10


def set_amp(optimizer: Any, grad_scale: Any = None, found_inf: Any = None) -> None:
    optimizer.grad_scale, optimizer.found_inf = grad_scale, found_inf


def scaler_of(**options: Any) -> Any:
    return torch.amp.GradScaler("cpu", init_scale=SCALE, growth_interval=3, **options)


def backward(scaler: Any, params: Sequence[Parameter], step: int, overflow: bool) -> None:
    """What the backward pass of a scaled loss leaves: here the loss is a sum of products with known gradients."""
    fill_gradients(params, seed=step)
    wanted = [p.grad for p in params]
    for p in params:
        p.grad = None
    loss = sum((p * grad).sum() for p, grad in zip(params, wanted, strict=True))
    scaler.scale(loss).backward()
    if overflow:
        params[3].grad[17] = math.inf


@pytest.mark.parametrize("found", [0.0, 1.0, 2.0, None])
@pytest.mark.parametrize("scale", [None, SCALE, 3.0])
@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_found_inf_0_1_2(kind: str, backend: str, scale: float | None, found: float | None) -> None:
    """A scaler passes the sum over devices; either tensor may be missing. Gradients are not rewritten."""
    ours = [p for dtype in (torch.float32, torch.float64, *HALVES) for p in parameters(SHAPES, dtype)]
    theirs = twins(ours)
    a, b = (KINDS[kind].ours(side, backend=backend, schedule="cosine(9)") for side in (ours, theirs))
    for step in range(4):
        fill_gradients(ours, seed=step)
        for p, q in zip(ours, theirs, strict=True):
            q.grad = p.grad.clone()
            if scale == SCALE:  # exact, so the bits must be the same
                p.grad *= scale
        before = [p.grad.clone() for p in ours]
        state, published = fingerprint(a), a.param_groups[0]["lr"]
        middle = step in (1, 2)
        set_amp(a, None if scale is None else torch.tensor(scale), torch.tensor(found) if middle and found else None)
        if not middle and found is not None:
            a.found_inf = torch.tensor(0.0)
        a.step()
        if middle and found:
            assert a.param_groups[0]["lr"] is published
            if step == 2:
                assert fingerprint(a) == state
        else:
            b.step()
        assert all(torch.equal(p.grad, grad) for p, grad in zip(ours, before, strict=True))
    assert (a.clock, a.skipped) == ((2, 2) if found else (4, 0)) and b.skipped == 0
    if scale != 3.0:
        assert all(map(torch.equal, ours, theirs))


@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_overflow_first_step(kind: str, backend: str) -> None:
    """Nothing of a skipped first step stays: no count, no momentum."""
    ours, theirs = parameters(SHAPES), parameters(SHAPES)
    a, b = (KINDS[kind].ours(side, backend=backend, schedule="warmup(2) >> cosine(9)") for side in (ours, theirs))
    for p in ours:
        p.grad = torch.full_like(p, math.nan)
    set_amp(a, torch.tensor(SCALE), torch.tensor(1.0))
    a.step()
    set_amp(a)
    for step in range(4):
        fill_gradients(ours, theirs, seed=step)
        a.step()
        b.step()
    assert all(map(torch.equal, ours, theirs)) and (a.clock, a.skipped) == (4, 1)


@pytest.mark.parametrize("unscale", [False, True], ids=["fused", "unscale_"])
@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_scaler_loop(kind: str, backend: str, unscale: bool) -> None:
    """The loop of torch's documentation, beside torch's own for-loop optimizer, with real overflows."""
    ours, theirs = parameters(SHAPES), parameters(SHAPES)
    sides = []
    for params, make in ((ours, KINDS[kind].ours), (theirs, KINDS[kind].theirs)):
        more = {"backend": backend} if params is ours else {"foreach": False}
        sides.append((make(params, **more), params, scaler_of()))
    for step in range(12):
        for optimizer, params, scaler in sides:
            backward(scaler, params, step, overflow=step in (0, 4, 5))
            if unscale:
                scaler.unscale_(optimizer)
                clip_grad_norm_(params, 0.5)
            scaler.step(optimizer)
            scaler.update()
        assert sides[0][2].get_scale() == sides[1][2].get_scale()
    a = sides[0][0]
    assert (a.clock, a.skipped) == (9, 3) and not hasattr(a, "grad_scale") and not hasattr(a, "found_inf")
    assert_close(ours, theirs, KINDS[kind].options["lr"], 4.0 / (1 - KINDS[kind].momentum))
    for p, q in zip(ours, theirs, strict=True):
        if "step" in sides[1][0].state[q]:
            assert a.state[p]["step"] == sides[1][0].state[q]["step"] == 9


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("backend", STEPS)
def test_scaler_with_low_precision(backend: str, dtype: Any) -> None:
    """Scaled float16 gradients overflow by themselves; the run is the one without a scaler."""
    ours, theirs = parameters(SHAPES, dtype), parameters(SHAPES, dtype)
    a = lrdsl.AdamW(ours, backend=backend, master_weights=True, max_grad_norm=1.0, zero_grads=True)
    b = lrdsl.AdamW(theirs, backend=backend, master_weights=True, max_grad_norm=1.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**18, growth_interval=1000)
    done = 0
    for step in range(8):
        backward(scaler, ours, step, overflow=dtype == torch.bfloat16 and step == 0)
        scaler.step(a)
        scaler.update()
        assert not any(p.grad.any() for p in ours)
        if a.clock > done:
            done = a.clock
            fill_gradients(theirs, seed=step)
            b.step()
            assert a.grad_norm.item() == pytest.approx(b.grad_norm.item(), rel=1e-6)
    assert a.skipped > 0 and a.skipped + a.clock == 8
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.state[p]["master"], b.state[q]["master"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", STEPS)
def test_two_optimizers_share_a_scaler(backend: str) -> None:
    """Only the one whose gradients overflow is skipped."""
    first, second = parameters(SHAPES), parameters(SHAPES, seed=1)
    a, b = lrdsl.AdamW(first, backend=backend), lrdsl.SGD(second, lr=0.1, momentum=0.9, backend=backend)
    scaler = scaler_of()
    for step in range(6):
        backward(scaler, first, step, overflow=step == 2)
        backward(scaler, second, step, overflow=step in (3, 4))
        for optimizer in (a, b):
            scaler.step(optimizer)
        scaler.update()
    assert (a.clock, a.skipped, b.clock, b.skipped) == (5, 1, 4, 2)


@pytest.mark.parametrize("backend", STEPS)
def test_the_norm_is_unscaled(backend: str) -> None:
    params = parameters(SHAPES)
    optimizer = lrdsl.SGD(params, lr=0.1, max_grad_norm=0.5, backend=backend)
    scaler = scaler_of()
    backward(scaler, params, 0, overflow=False)
    before = [p.detach().clone() for p in params]
    expected = torch.nn.utils.get_total_norm([p.grad.double() / SCALE for p in params])
    scaler.step(optimizer)
    assert optimizer.grad_norm.item() == pytest.approx(expected.item(), rel=1e-6)
    for p, old in zip(params, before, strict=True):
        step = 0.1 * 0.5 / (expected.float() + 1e-6) * p.grad / SCALE
        torch.testing.assert_close(p.detach(), old - step)


@pytest.mark.parametrize("backend", STEPS)
def test_skipped_steps_in_a_schedule(backend: str) -> None:
    """The rate is that of applied updates; a report made meanwhile counts once."""
    params = parameters(SHAPES)
    text = "warmup(3) >> hold() | plateau(patience=0, factor=0.5)"
    optimizer = lrdsl.AdamW(params, lr=1.0, schedule=text, backend=backend)
    scaler, rates = scaler_of(), []
    for step in range(7):
        optimizer.observe(1.0 if step == 0 else 2.0)
        rates.append(optimizer.param_groups[0]["lr"])
        backward(scaler, params, step, overflow=step in (0, 2, 3))
        scaler.step(optimizer)
        scaler.update()
    # clock 0 0 1 1 1 2 3, and every report but the first cuts
    assert optimizer.clock == 4 and optimizer.skipped == 3
    plain = lrdsl.compile("warmup(3) >> hold()", base_lr=1.0)
    expected = [plain.lr(clock) * 0.5**cuts for cuts, clock in enumerate((0, 0, 1, 1, 1, 2, 3))]
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize("backend", STEPS)
def test_what_a_scaler_passes_without_gradients(backend: str) -> None:
    """The sum over no devices is a plain 0."""
    params = parameters(SHAPES)
    optimizer = lrdsl.AdamW(params, backend=backend)
    set_amp(optimizer, torch.tensor(SCALE, dtype=torch.float64), 0)
    optimizer.step()
    fill_gradients(params, seed=0)
    set_amp(optimizer, torch.tensor([SCALE]), torch.tensor([1.0], dtype=torch.float16))
    optimizer.step()
    set_amp(optimizer, None, True)
    optimizer.step()
    assert (optimizer.clock, optimizer.skipped) == (1, 2)


@pytest.mark.parametrize(
    ("scale", "found", "name"),
    [(torch.ones(2), None, "grad_scale"), (None, torch.ones(3), "found_inf"), ("x", None, "grad_scale")],
)
@pytest.mark.parametrize("backend", STEPS)
def test_what_is_no_number(backend: str, scale: Any, found: Any, name: str) -> None:
    params = parameters(SHAPES)
    optimizer = lrdsl.AdamW(params, backend=backend, zero_grads=True)
    fill_gradients(params, seed=0)
    optimizer.step()
    fill_gradients(params, seed=1)
    set_amp(optimizer, scale, found)
    before = fingerprint(optimizer)
    with pytest.raises(ValueError, match=f"expected {name} to be one number"):
        optimizer.step()
    assert fingerprint(optimizer) == before and params[0].grad.any()
    set_amp(optimizer)
    optimizer.step()
    assert optimizer.clock == 2


@pytest.mark.parametrize("rate", [0.5, torch.tensor(0.5)], ids=["float", "tensor"])
@pytest.mark.parametrize("backend", STEPS)
def test_the_rate_is_still_ours_after_a_skip(backend: str, rate: Any) -> None:
    """The object stays, untouched; a foreign one is still refused, and does not count as a skip."""
    params = parameters(SHAPES)
    optimizer = lrdsl.AdamW(params, lr=rate, schedule="linear(10)", backend=backend)
    group = optimizer.param_groups[0]
    for found in (0.0, 1.0, 1.0, 0.0):
        fill_gradients(params, seed=0)
        published = group["lr"]
        version = getattr(published, "_version", None)
        set_amp(optimizer, None, torch.tensor(found))
        optimizer.step()
        if found:
            assert group["lr"] is published and getattr(published, "_version", None) == version
    assert float(group["lr"]) == pytest.approx(0.4) and (optimizer.clock, optimizer.skipped) == (2, 2)
    group["lr"] = 0.3
    set_amp(optimizer, None, torch.tensor(1.0))
    with pytest.raises(RuntimeError, match="another scheduler or code writes lr"):
        optimizer.step()
    assert (optimizer.clock, optimizer.skipped) == (2, 2)
