"""bfloat16 and float16 parameters: float32 math and state, one rounding, and masters."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Sequence
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from torch.nn import Parameter  # noqa: E402

import lrdsl  # noqa: E402
from tests.optim.peers import (  # noqa: E402
    BACKENDS,
    HALVES,
    KINDS,
    VARIANTS,
    copy_gradients,
    fill_gradients,
    fingerprint,
    parameters,
    round_to,
    twins,
    ulp,
    widened,
)

SHAPES = [(1,), (7,), (8,), (15,), (16,), (17,), (3, 21), (0,), (), (1003,)]
TEXT = "warmup(3) >> cosine(20, to=0.1x)"


def moments(optimizer: Any, p: Parameter) -> dict[str, torch.Tensor]:
    return {key: value for key, value in optimizer.state.get(p, {}).items() if key not in ("step", "master")}


def assert_same_state(a: Any, ours: Sequence[Parameter], b: Any, theirs: Sequence[Parameter]) -> None:
    for p, q in zip(ours, theirs, strict=True):
        mine, other = moments(a, p), moments(b, q)
        assert mine.keys() == other.keys()
        for key, value in mine.items():
            assert value.dtype == torch.float32 and torch.equal(value, other[key]), key


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("wide", [False, True], ids=["own gradients", "float32 gradients"])
@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_float32_rounded_once(variant: str, backend: str, dtype: Any, wide: bool) -> None:
    """The same bits as a float32 run whose parameters are rounded after every step."""
    ours = parameters(SHAPES, dtype)
    theirs = widened(ours)
    a, b = (VARIANTS[variant].ours(side, backend=backend) for side in (ours, theirs))
    for step in range(5):
        fill_gradients(theirs if wide else ours, seed=step)
        for p, q in zip(ours, theirs, strict=True):
            if wide:
                p.grad_dtype = torch.float32
                p.grad = q.grad.clone()
            else:
                q.grad = p.grad.float()
        before = [p.detach().clone() for p in ours]
        a.step()
        b.step()
        round_to(ours, theirs)
        assert all(torch.equal(p.float(), q) for p, q in zip(ours, theirs, strict=True))
        assert any(not torch.equal(p, old) for p, old in zip(ours, before, strict=True))
    assert_same_state(a, ours, b, theirs)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_master_is_a_float32_run(variant: str, backend: str, dtype: Any) -> None:
    ours = parameters(SHAPES, dtype)
    theirs = widened(ours)
    a = VARIANTS[variant].ours(ours, backend=backend, master_weights=True)
    b = VARIANTS[variant].ours(theirs, backend=backend)
    for step in range(8):
        fill_gradients(ours, seed=step)
        copy_gradients(ours, theirs)
        if step == 4:
            ours[1].data.fill_(float("nan"))  # written, never read
        a.step()
        b.step()
        for p, q in zip(ours, theirs, strict=True):
            assert torch.equal(a.state[p]["master"], q) and torch.equal(p, q.to(dtype))
    assert_same_state(a, ours, b, theirs)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_against_torch(kind: str, dtype: Any) -> None:
    """Torch rounds the state as well; one step from the same place differs by few units of the parameter."""
    ours = parameters(SHAPES, dtype)
    theirs = twins(ours)
    a, b = KINDS[kind].ours(ours), KINDS[kind].theirs(theirs, foreach=False)
    fill_gradients(ours, seed=0)
    for p, q in zip(ours, theirs, strict=True):
        p.grad += p.grad.sign()  # a square of a small one is lost in torch's float16
        q.grad = p.grad.clone()
    start = [p.detach().float() for p in ours]
    a.step()
    b.step()
    for p, q, old in zip(ours, theirs, start, strict=True):
        p, q = p.detach().float(), q.detach().float()
        unit = ulp(torch.maximum(old.abs(), torch.maximum(p.abs(), q.abs())), dtype)
        assert ((p - q).abs() <= 2 * unit + 2e-2 * (q - old).abs()).all()
        assert p.numel() < 100 or ((p - old).sign() * (q - old).sign() >= 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_rounds_to_even_and_keeps_what_is_not_finite(dtype: Any, backend: str) -> None:
    """Every way a value can be rounded, as torch rounds it: ties, overflow, subnormal numbers, inf, nan."""
    bits = torch.randint(-(2**31), 2**31, (20_003,), generator=torch.Generator().manual_seed(0)).to(torch.int32)
    fine = torch.linspace(-1e-7, 1e-7, 1001)
    ties = (torch.arange(1, 2**10) * 2.0**-20 + 1) * 1.0
    special = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan, 65519.9, 65520.0, 3.39e38, 3.4e38, 6e-8, 3e-8])
    values = torch.cat([bits.view(torch.float32), fine, ties, special])
    p = Parameter(torch.zeros_like(values, dtype=dtype))
    p.grad_dtype = torch.float32
    p.grad = -values
    lrdsl.SGD([p], lr=1.0, backend=backend).step()
    expected = values.to(dtype)
    assert expected.isnan().any() and expected.isinf().any()
    assert torch.equal(p.detach().nan_to_num(7.0), expected.nan_to_num(7.0))
    assert torch.equal(p.isnan(), expected.isnan())


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_gradients_dtype_may_change(backend: str) -> None:
    ours = parameters([(5,), (40,)], torch.bfloat16)
    theirs = widened(ours)
    a, b = lrdsl.AdamW(ours, backend=backend), lrdsl.AdamW(theirs, backend=backend)
    for step in range(6):
        fill_gradients(theirs, seed=step)
        for index, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            p.grad = None
            p.grad_dtype = torch.float32 if (step + index) % 2 else torch.bfloat16
            p.grad = q.grad.to(p.grad_dtype)
            q.grad = p.grad.float()
        a.step()
        b.step()
        round_to(ours, theirs)
        assert all(torch.equal(p.float(), q) for p, q in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_who_has_a_master(backend: str) -> None:
    params = [parameters([(5,)], dtype)[0] for dtype in (torch.float32, torch.float64, *HALVES)]
    optimizer = lrdsl.SGD(params, backend=backend, master_weights=True)
    fill_gradients(params, seed=0)
    optimizer.step()
    assert ["master" in optimizer.state.get(p, {}) for p in params] == [False, False, True, True]
    assert optimizer.master_weights is True and lrdsl.SGD(params).master_weights is False


@pytest.mark.parametrize("backend", BACKENDS)
def test_small_updates_are_lost_without_a_master(backend: str) -> None:
    ends = []
    for master in (False, True):
        p = Parameter(torch.ones(20, dtype=torch.bfloat16))
        optimizer = lrdsl.SGD([p], lr=1e-4, master_weights=master, backend=backend)
        for _ in range(100):
            p.grad = torch.ones_like(p)
            optimizer.step()
        ends.append(p[0].item())
    assert ends == [1.0, 0.98828125]  # 0.99 to three digits


@pytest.mark.parametrize("backend", BACKENDS)
def test_state_before_the_first_step(backend: str) -> None:
    (p,) = parameters([(5,)], torch.float16)
    optimizer = lrdsl.AdamW([p], backend=backend, master_weights=True)
    optimizer.init_state()
    assert torch.equal(optimizer.state[p]["master"], p.float()) and optimizer.state[p]["master"].grad_fn is None
    assert {value.dtype for value in optimizer.state[p].values()} == {torch.float32}


# --- checkpoints ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("master", [False, True], ids=["plain", "master"])
@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_resume(kind: str, backend: str, dtype: Any, master: bool) -> None:
    """Cut at any step, saved, loaded into a fresh optimizer: the same bits."""
    whole = parameters(SHAPES, dtype)
    reference = KINDS[kind].ours(whole, backend=backend, master_weights=master, schedule=TEXT)
    runs: list[tuple[Any, list[Parameter]]] = []
    for step in range(4):
        saved = through_a_file(reference.state_dict())
        params = twins(whole)
        resumed = KINDS[kind].ours(params, backend=backend, master_weights=master, schedule=TEXT)
        resumed.load_state_dict(saved)
        runs.append((resumed, params))
        for optimizer, side in [(reference, whole), *runs]:
            fill_gradients(side, seed=step)
            optimizer.step()
    for optimizer, params in runs:
        assert all(map(torch.equal, params, whole))
        assert_same_state(optimizer, params, reference, whole)
        if master:
            assert all(
                torch.equal(optimizer.state[p]["master"], reference.state[q]["master"])
                for p, q in zip(params, whole, strict=True)
            )


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_copies(backend: str, copier: Any) -> None:
    params = parameters(SHAPES, torch.bfloat16)
    optimizer = lrdsl.AdamW(params, backend=backend, master_weights=True)
    fill_gradients(params, seed=0)
    optimizer.step()
    twin = copier(optimizer)
    others = twin.param_groups[0]["params"]
    for step in range(1, 4):
        for side, mine in ((optimizer, params), (twin, others)):
            fill_gradients(mine, seed=step)
            side.step()
    assert all(map(torch.equal, params, others))
    for p, q in zip(params, others, strict=True):
        assert twin.state[q]["master"] is not optimizer.state[p]["master"]
        assert torch.equal(twin.state[q]["master"], optimizer.state[p]["master"])


@pytest.mark.parametrize("master", [False, True], ids=["plain", "master"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_torchs_moments_are_widened(kind: str, backend: str, master: bool) -> None:
    """A checkpoint of torch has moments in the parameter's dtype and no master; ours goes back to torch, too."""
    theirs = parameters(SHAPES, torch.bfloat16)
    peer = KINDS[kind].theirs(theirs, foreach=False)
    fill_gradients(theirs, seed=0)
    peer.step()
    ours = twins(theirs)
    optimizer = KINDS[kind].ours(ours, backend=backend, master_weights=master)
    optimizer.load_state_dict(through_a_file(peer.state_dict()))
    for p, q in zip(ours, theirs, strict=True):
        saved = {key: value for key, value in moments(peer, q).items() if value is not None}
        assert moments(optimizer, p).keys() == saved.keys()
        for key, value in saved.items():
            assert value.dtype == torch.bfloat16
            assert optimizer.state[p][key].dtype == torch.float32
            assert torch.equal(optimizer.state[p][key], value.float())
        assert "master" not in optimizer.state.get(p, {})
    fill_gradients(ours, seed=1)
    optimizer.step()
    for p in ours if master else ():
        assert torch.equal(optimizer.state[p]["master"].to(p.dtype), p)
        assert p.numel() < 20 or not torch.equal(optimizer.state[p]["master"], p.float())
    peer.load_state_dict(through_a_file(optimizer.state_dict()))
    fill_gradients(theirs, seed=2)
    peer.step()


def test_a_load_keeps_addresses_and_dtypes() -> None:
    params = parameters(SHAPES, torch.bfloat16)
    optimizer = lrdsl.AdamW(params, master_weights=True)
    fill_gradients(params, seed=0)
    optimizer.step()
    saved = through_a_file(optimizer.state_dict())
    kept = {key: value.clone() for key, value in optimizer.state[params[3]].items()}

    def tensors() -> list[tuple[int, Any]]:
        return [(t.data_ptr(), t.dtype) for p in params for t in optimizer.state[p].values()]

    before = tensors()
    fill_gradients(params, seed=1)
    optimizer.step()
    optimizer.load_state_dict(saved)
    assert tensors() == before
    assert all(torch.equal(optimizer.state[params[3]][key], value) for key, value in kept.items())


BAD = {
    "no masters asked for": ({"master_weights": False}, lambda s: None, "parameter 0: it has a master"),
    "shape": ({}, lambda s: s.update(master=torch.zeros(4)), r"master of .*expected shape \(5,\), got \(4,\)"),
    "integers": ({}, lambda s: s.update(master=torch.zeros(5, dtype=torch.int32)), "master of .*floats"),
    "no tensor": ({}, lambda s: s.update(master=1.0), "master of .*floats"),
    "another key": ({}, lambda s: s.update(original=torch.zeros(5)), "original"),
}


@pytest.mark.parametrize("name", BAD)
def test_masters_that_do_not_fit(name: str) -> None:
    options, change, message = BAD[name]
    source, target = parameters([(5,), (6,)], torch.float16), parameters([(5,), (6,)], torch.float16)
    a = lrdsl.AdamW(source, master_weights=True)
    b = lrdsl.AdamW(target, **{"master_weights": True} | options)
    for optimizer, params in ((a, source), (b, target)):
        fill_gradients(params, seed=0)
        optimizer.step()
    saved = copy.deepcopy(a.state_dict())
    change(saved["state"][0])
    before = fingerprint(b)
    with pytest.raises((ValueError, TypeError), match=message):
        b.load_state_dict(saved)
    assert fingerprint(b) == before


def test_float32_has_no_master() -> None:
    params = parameters([(5,)])
    optimizer = lrdsl.SGD(params, master_weights=True)
    saved = optimizer.state_dict() | {"state": {0: {"master": torch.zeros(5)}}}
    with pytest.raises(ValueError, match="it has a master"):
        optimizer.load_state_dict(saved)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_master_replaced_by_hand(backend: str) -> None:
    params = parameters([(5,), (6,)], torch.bfloat16)
    optimizer = lrdsl.SGD(params, lr=0.5, master_weights=True, backend=backend)
    fill_gradients(params, seed=0)
    optimizer.step()
    optimizer.state[params[0]]["master"] = torch.zeros(5, dtype=torch.bfloat16)
    before = fingerprint(optimizer)
    with pytest.raises(ValueError, match=r"master of group 0, parameter 0: expected dtype torch\.float32"):
        optimizer.step()
    assert fingerprint(optimizer) == before
    optimizer.state[params[0]]["master"] = torch.zeros(5)
    del optimizer.state[params[1]]["master"]  # made again from what the parameter holds now
    params[1].data.fill_(2.0)
    optimizer.step()
    assert torch.equal(params[0].detach(), (-0.5 * params[0].grad.float()).bfloat16())
    assert torch.equal(optimizer.state[params[1]]["master"], 2 - 0.5 * params[1].grad.float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_master_that_nobody_asked_for(backend: str, dtype: Any) -> None:
    """Put there by hand it is used where one can be, and must fit."""
    (p,) = parameters([(5,)], dtype)
    optimizer = lrdsl.AdamW([p], lr=1.0, weight_decay=0.0, backend=backend)
    fill_gradients([p], seed=0)
    optimizer.step()
    start = p.detach().clone().float()
    optimizer.state[p]["master"] = torch.zeros(2)
    if dtype == torch.bfloat16:
        before = fingerprint(optimizer)
        with pytest.raises(ValueError, match=r"master of group 0, parameter 0: expected shape"):
            optimizer.step()
        assert fingerprint(optimizer) == before
        start = torch.full((5,), 100.0)
        optimizer.state[p]["master"] = start.clone()
    optimizer.step()
    moved = (p.detach().float() - start).abs()
    torch.testing.assert_close(moved, torch.ones(5), rtol=0, atol=0.3)  # the rate, to the parameter's precision


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_master_weights_is_a_switch(value: Any) -> None:
    with pytest.raises(TypeError, match="expected master_weights to be True or False"):
        lrdsl.SGD(parameters([(3,)]), master_weights=value)
