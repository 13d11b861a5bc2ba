"""The same rules on a device: the bits of our step on the CPU, and torch's own within the bound that is promised."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from torch.nn import Parameter  # noqa: E402

from tests.devices import Device, Gradients, Mover, bits, everything, members, plain_bytes  # noqa: E402
from tests.optim.inputs import CORRECT, REFUSED, Wrong  # noqa: E402
from tests.optim.peers import (  # noqa: E402
    DTYPES,
    HALVES,
    KINDS,
    VARIANTS,
    assert_close,
    parameters,
    round_to,
    twins,
    ulp,
    widened,
)

SHAPES = [(), (1,), (0,), (17, 5), (257,), (3, 4, 5), (4099,)]
STEPS = 20
AROUND: dict[str, dict[str, Any]] = {
    "alone": {},
    "clip": {"max_grad_norm": 0.5},
    "skip": {"skip_nonfinite": True},
    "zero": {"zero_grads": True},
    "all": {"max_grad_norm": 3.0, "skip_nonfinite": True, "zero_grads": True},
}
"""What is done around the update."""
HERE_ONLY = {
    "spawn": "a child would need a device of its own",
    "fork": "CUDA does not survive a fork",
    "DTensor, empty shard": "the mesh of this case is the CPU's",
    "8 threads step 8 optimizers": "tests/gpu/test_streams.py has it",
    "gradient on another device": "its parameter is of a class of its own, which is not moved",
}
"""Rows of the table of inputs that are no input of a device."""
LARGE = ("10,000 tensors", "1000 groups")
"""Rows that take long; the emulated device has all kinds of them in tests/optim/test_inputs.py."""


def pair(
    device: Device, name: str, dtype: torch.dtype, **options: Any
) -> tuple[Any, Any, list[Parameter], list[Parameter]]:
    """The same optimizer on the CPU and on the device."""
    kind, here = VARIANTS[name], parameters(SHAPES, dtype)
    there = device.parameters(here)
    ours = [kind.ours(here, backend="native", **options), kind.ours(there, backend=device.backend, **options)]
    return *ours, here, there


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("dtype", [*DTYPES, *HALVES], ids=str)
def test_bits_of_the_cpu(device: Device, dtype: torch.dtype, around: str) -> None:
    for name, masters in itertools.product(VARIANTS, [False, True] if dtype in HALVES else [False]):
        cpu, there, ps, qs = pair(device, name, dtype, master_weights=masters, **AROUND[around])
        gradients = Gradients([ps, qs], seed=3)
        for step in range(12):
            gradients.into(step)
            if around in ("skip", "all") and step == 5:
                for side in (ps, qs):
                    side[3].grad.view(-1)[7] = float("inf")
            for side in (cpu, there):
                side.step()
        assert there.doctor()["backend"] == device.name
        assert bits(there) == bits(cpu), (name, masters)
        assert (there.clock, there.skipped) == (cpu.clock, cpu.skipped) == (12 - cpu.skipped, cpu.skipped)
        assert plain_bytes(there.grad_norm) == plain_bytes(cpu.grad_norm), name
        assert [plain_bytes(p.grad) for p in qs] == [plain_bytes(p.grad) for p in ps], name


@pytest.mark.parametrize("dtype", [*DTYPES, *HALVES], ids=str)
@pytest.mark.parametrize("name", VARIANTS)
def test_torch_fused(device: Device, name: str, dtype: torch.dtype) -> None:
    kind = VARIANTS[name]
    ours = device.parameters(parameters(SHAPES, dtype))
    theirs = widened(ours)
    optimizer = kind.ours(ours, backend=device.backend)
    # Torch's on the CPU passes over blocks of vectors; there is no such thing on the device.
    peer = kind.theirs(theirs, **({"fused": True} if device.real else {"foreach": False}))
    gradients = Gradients([ours, theirs], seed=5)
    largest = max(float(g.abs().max()) for p in ours for g in [p.detach()] if g.numel())
    for step in range(STEPS):
        gradients.into(step)
        for p, q in zip(ours, theirs, strict=True):
            q.grad.copy_(p.grad)  # as rounded
        optimizer.step()
        peer.step()
        round_to(ours, theirs)
        largest = max(largest, *(float(p.grad.abs().max()) for p in ours if p.numel()))
    assert_close(ours, theirs, kind.options["lr"], spread=max(1.0, largest) / (1 - kind.momentum))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_torch_clips_by_the_same_norm(device: Device, dtype: torch.dtype) -> None:
    """Its norm is summed in another order."""
    ours = device.parameters(parameters(SHAPES, dtype))
    theirs = twins(ours)
    optimizer = KINDS["sgd"].ours(ours, backend=device.backend, max_grad_norm=0.5)
    peer = KINDS["sgd"].theirs(theirs)
    gradients = Gradients([ours, theirs], seed=6)
    for step in range(STEPS):
        gradients.into(step)
        norm = torch.nn.utils.clip_grad_norm_(theirs, 0.5)
        optimizer.step()
        peer.step()
        assert float(optimizer.grad_norm) == pytest.approx(float(norm), rel=1e-5 if dtype == torch.float32 else 1e-12)
    for p, q in zip(ours, theirs, strict=True):
        bound = STEPS * 1e-5 if dtype == torch.float32 else 1e-11
        assert (p - q).abs().le(bound + 4 * ulp(q.detach(), dtype)).all()


# --- the table of inputs --------------------------------------------------------------------------------------------


def test_what_is_left_out_exists() -> None:
    assert HERE_ONLY.keys() < CORRECT.keys() | REFUSED.keys() and all(HERE_ONLY.values())


@pytest.mark.parametrize("name", sorted(CORRECT.keys() - HERE_ONLY.keys()))
def test_correct(device: Device, name: str) -> None:
    case, ran = CORRECT[name], set()
    kinds = KINDS if device.real or name not in LARGE else {"adamw": KINDS["adamw"]}
    for key, kind in kinds.items():
        options = kind.options | case.options
        here = case.make()
        there = Mover(device.place)(here)
        cpu = kind.ours(case.grouped(here), backend="native", **options)
        ours = kind.ours(case.grouped(there), backend=device.backend, **options)
        for step in range(case.steps):
            if step == 2:
                cpu, ours = case.exchange(cpu), case.exchange(ours)
            case.fill(members(cpu), step)
            move = Mover(device.place).tensor
            for p, q in zip(members(cpu), members(ours), strict=True):
                q.grad_dtype = p.grad_dtype
                q.grad = None if p.grad is None else move(p.grad)
            for side in (cpu, ours):
                found = case.found_inf if step == 1 else None
                side.found_inf = None if found is None else torch.tensor(found, device=members(side)[0].device)
                side.step()
                case.after(side)
        assert bits(ours) == bits(cpu)
        assert (ours.clock, ours.skipped) == (case.steps - case.skipped, int(case.skipped))
        ran.add((key, ours.doctor()["backend"]))
    assert ran == {(key, device.name) for key in kinds}


def _moved(wrong: Wrong, device: Device) -> list[Any]:
    """What the table gives, on the device as far as it can be there."""
    made = wrong.make()
    movable = [torch.is_tensor(p) and p.layout == torch.strided and not p.is_meta and p.is_leaf for p in made]
    move, moved = Mover(device.place), dict[int, Any]()
    for p, can in zip(made, movable, strict=True):
        if can and id(p) not in moved:  # one that is listed twice stays one
            there = move.tensor(p)
            moved[id(p)] = Parameter(there, p.requires_grad) if isinstance(p, Parameter) else there
    return [moved.get(id(p), p.to(device.place) if torch.is_tensor(p) and not p.is_meta else p) for p in made]


@pytest.mark.parametrize("name", sorted(REFUSED.keys() - HERE_ONLY.keys()))
def test_refused(device: Device, name: str) -> None:
    wrong, ran = REFUSED[name], set()
    for key, kind in KINDS.items():
        params, options = _moved(wrong, device), kind.options | wrong.options
        if not wrong.later:
            with pytest.raises(wrong.error, match=wrong.message):
                kind.ours(params, backend=device.backend, **options)
            ran.add((key, device.name))
            continue
        ours = kind.ours(params, backend=device.backend, **options)
        gradients = Gradients([params], seed=0)
        for step in range(2):
            gradients.into(step)
            if step == 0:
                ours.step()
        with torch.device(device.place):
            for spoil, what in ((wrong.spoil, params[1]), (wrong.change, ours)):
                if spoil is not None:
                    spoil(what)
            before = _whole(ours)
            for _ in range(2):  # it must not be accepted the second time either
                with pytest.raises(wrong.error, match=wrong.message):
                    wrong.attempt(ours)
                assert _whole(ours) == before
        ran.add((key, device.name))
    assert ran == {(key, device.name) for key in KINDS}


def _whole(optimizer: Any) -> Any:
    """`everything`, or what can be said of an optimizer whose groups or parameters are no longer sound."""
    try:
        return everything(optimizer)
    except (RuntimeError, ValueError, TypeError):
        return bits(optimizer)
