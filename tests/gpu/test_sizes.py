"""Tensors of every size, up to more elements than 32 bits can count."""

from __future__ import annotations

import gc
import itertools

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from torch.nn import Parameter  # noqa: E402

import lrdsl  # noqa: E402
from tests.devices import CUDA, Device, Gradients, Mover, bits  # noqa: E402
from tests.optim.inputs import misaligned  # noqa: E402
from tests.optim.peers import DTYPES, HALVES, KINDS, parameters  # noqa: E402

SIZES = [0, 1, 2, 3, 7, 8, 15, 16, 17, 255, 256, 257, 1003, 4095, 4096, 4097, 65_535, 65_537]
GIB = 1 << 30


@pytest.mark.parametrize("offset", [False, True], ids=["aligned", "misaligned"])
@pytest.mark.parametrize("dtype", [*DTYPES, *HALVES], ids=str)
def test_sizes(device: Device, dtype: torch.dtype, offset: bool) -> None:
    for kind in ("momentum", "amsgrad"):
        here = parameters([(n,) for n in SIZES], dtype)
        if offset:
            here = [Parameter(misaligned(p.detach())) for p in here]
        there = device.parameters(here)
        cpu = KINDS[kind].ours(here, backend="native", max_grad_norm=1.0)
        ours = KINDS[kind].ours(there, backend=device.backend, max_grad_norm=1.0)
        generator = torch.Generator().manual_seed(2)
        for _ in range(3):
            for p, q in zip(here, there, strict=True):
                grad = torch.randn(p.shape, generator=generator).to(dtype)
                p.grad = misaligned(grad) if offset else grad
                q.grad = Mover(device.place).tensor(p.grad)
            cpu.step()
            ours.step()
        assert bits(ours) == bits(cpu), kind


def test_every_size_in_turn(device: Device) -> None:
    """Tails of vectors, with every start."""
    generator = torch.Generator().manual_seed(0)
    here = [
        Parameter(torch.randn(start + n, generator=generator)[start:])
        for start, n in itertools.product(range(4), range(1, 13))
    ]
    there = device.parameters(here)
    cpu, ours = KINDS["adamw"].ours(here, backend="native"), KINDS["adamw"].ours(there, backend=device.backend)
    gradients = Gradients([here, there])
    for step in range(5):
        gradients.into(step)
        cpu.step()
        ours.step()
    assert bits(ours) == bits(cpu)


def test_many_tensors(device: Device) -> None:
    here = parameters([(n % 3 + 1,) for n in range(device.amount(10_000, 1500))])
    there = device.parameters(here)
    cpu, ours = (
        lrdsl.AdamW(side, lr=0.1, schedule="linear(10)", backend=backend)
        for side, backend in ((here, "native"), (there, device.backend))
    )
    for step in range(3):
        for p, q in zip(here, there, strict=True):
            p.grad, q.grad = torch.full_like(p, 0.1 * (step + 1)), torch.full_like(q, 0.1 * (step + 1))
        cpu.step()
        ours.step()
    assert bits(ours) == bits(cpu)


@pytest.mark.gpu
@pytest.mark.parametrize("clip", [False, True])
def test_more_than_32_bits(clip: bool) -> None:
    """On the host: ``test_numel_over_2_31`` of ``tests/native/test_emulation.py``, with made-up addresses."""
    if why := CUDA.obstacle():
        pytest.skip(why)
    gc.collect()
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    n = 2**31 + 5
    if free < 13 * GIB:
        pytest.skip(f"not run: needs 13 GiB of the device's memory, {free / GIB:.0f} GiB are free")
    big = Parameter(torch.ones(n, dtype=torch.bfloat16, device=CUDA.place))
    small = [Parameter(torch.ones(3, device=CUDA.place)) for _ in range(2)]
    optimizer = lrdsl.SGD([small[0], big, small[1]], lr=0.5, max_grad_norm=1e9 if clip else None, backend="native")
    for p in (*small, big):
        p.grad = torch.ones_like(p)
    big.grad[-1], big.grad[2**31] = -1.0, 0.0
    optimizer.step()
    if clip:
        assert float(optimizer.grad_norm) == pytest.approx((n + 5) ** 0.5, rel=1e-6)
    assert (big[-1].item(), big[2**31].item()) == (1.5, 1.0)
    with torch.no_grad():
        big[-1], big[2**31] = 0.5, 0.5
    step = 2**28
    for start in range(0, n, step):
        assert (big[start : start + step] == 0.5).all(), start
    assert all((p == 0.5).all() for p in small)
    del big, optimizer, p
    gc.collect()
    torch.cuda.empty_cache()
