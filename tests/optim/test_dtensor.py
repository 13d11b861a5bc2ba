"""DTensor parameters, in one process: the step works on the local parts, state is spread like its parameter."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")
if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
    pytest.skip("not run: torch was built without gloo", allow_module_level=True)

from torch import distributed  # noqa: E402
from torch.distributed.fsdp import fully_shard  # noqa: E402
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor, init_device_mesh  # noqa: E402
from torch.nn import Parameter  # noqa: E402

import lrdsl  # noqa: E402
from lrdsl.optim.distributed import local  # noqa: E402
from tests.optim.peers import HALVES, KINDS, STEPS, fill_gradients, fingerprint, parameters  # noqa: E402

SHAPES = [(5, 3), (4,), (0, 2), (1, 1), (300, 5)]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    meeting: Path = tmp_path_factory.mktemp("gloo") / "meeting"
    distributed.init_process_group("gloo", rank=0, world_size=1, init_method=f"file://{meeting}")
    yield init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


def spread(params: Sequence[Parameter], mesh: Any) -> list[Parameter]:
    return [Parameter(distribute_tensor(p.detach().clone(), mesh, [Shard(0)])) for p in params]


def spread_gradients(source: Sequence[Parameter], target: Sequence[Parameter]) -> None:
    for p, q in zip(source, target, strict=True):
        grad = p.grad.clone()
        q.grad = DTensor.from_local(grad, q.device_mesh, q.placements, shape=q.shape, stride=q.stride())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *HALVES], ids=str)
@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_as_whole_tensors(kind: str, backend: str, dtype: Any, mesh: Any) -> None:
    """The same bits as plain tensors, neighbours and checkpoints included."""
    plain = parameters(SHAPES, dtype)
    params = spread(plain, mesh)
    options = {"max_grad_norm": 1.0, "skip_nonfinite": True, "zero_grads": True, "master_weights": True}
    text = "hold() | plateau(metric=grad_norm, patience=1)"
    a, b = (KINDS[kind].ours(side, backend=backend, schedule=text, **options) for side in (params, plain))
    for step in range(6):
        fill_gradients(plain, seed=step)
        if step == 2:
            plain[0].grad[0, 0] = math.inf
        spread_gradients(plain, params)
        if step == 3:
            params[1].grad = plain[1].grad = None
        if step == 4:
            buffer = io.BytesIO()
            torch.save(a.state_dict(), buffer)
            buffer.seek(0)
            a = KINDS[kind].ours(params, backend=backend, schedule=text, **options)
            a.load_state_dict(torch.load(buffer, weights_only=False))
        a.step()
        b.step()
        assert a.grad_norm.item() == pytest.approx(b.grad_norm.item(), rel=1e-12, nan_ok=True)
        assert not any(p.grad.to_local().any() for p in params if p.grad is not None)
    assert (a.clock, b.skipped) == (b.clock, 1)
    for p, q in zip(params, plain, strict=True):
        torch.testing.assert_close(p.to_local(), q, rtol=1e-6, atol=1e-7)
        for key, tensor in a.state.get(p, {}).items():
            assert key == "step" or (isinstance(tensor, DTensor) and tensor.placements == p.placements)


@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_same_bits_without_a_norm(kind: str, backend: str, mesh: Any) -> None:
    plain = parameters(SHAPES)
    params = spread(plain, mesh)
    a, b = (KINDS[kind].ours(side, backend=backend) for side in (params, plain))
    for step in range(4):
        fill_gradients(plain, seed=step)
        spread_gradients(plain, params)
        a.step()
        b.step()
        versions = [p._version for p in params]
        assert all(version > step for version in versions)
    assert all(torch.equal(p.to_local(), q) for p, q in zip(params, plain, strict=True))


@pytest.mark.parametrize("backend", STEPS)
def test_state_replaced_by_hand(backend: str, mesh: Any) -> None:
    (p,) = spread(parameters([(40, 3)]), mesh)
    optimizer = KINDS["momentum"].ours([p], backend=backend)
    for _ in range(2):
        p.grad = torch.ones_like(p)
        optimizer.step()
    optimizer.state[p]["momentum_buffer"] = torch.zeros_like(p)
    optimizer.step()
    assert (optimizer.state[p]["momentum_buffer"].to_local() == 1.0).all()
    optimizer.state[p]["momentum_buffer"] = torch.zeros(40, 3)
    before = p.to_local().clone()
    with pytest.raises(ValueError, match="momentum_buffer of group 0, parameter 0: expected it spread"):
        optimizer.step()
    assert torch.equal(p.to_local(), before)


@pytest.mark.parametrize("backend", STEPS)
def test_a_gradient_spread_otherwise(backend: str, mesh: Any) -> None:
    params = spread(parameters([(4, 3)]), mesh)
    optimizer = KINDS["sgd"].ours(params, backend=backend)
    for grad in (torch.ones(4, 3), distribute_tensor(torch.ones(4, 3), mesh, [Replicate()])):
        params[0].grad = None
        params[0].grad = grad
        before = params[0].to_local().clone()
        with pytest.raises(TypeError, match="gradient of group 0, parameter 0: expected it spread"):
            optimizer.step()
        assert torch.equal(params[0].to_local(), before) and optimizer.clock == 0


@pytest.mark.parametrize("options", [{"max_grad_norm": 1.0}, {"skip_nonfinite": True}], ids=str)
@pytest.mark.parametrize("backend", STEPS)
def test_several_meshes_have_no_norm(backend: str, options: dict[str, Any], mesh: Any) -> None:
    other = init_device_mesh("cpu", (1, 1))
    elsewhere = Parameter(distribute_tensor(torch.ones(4), other, [Shard(0), Replicate()]))
    for stranger in (elsewhere, Parameter(torch.ones(4))):
        params = [*spread(parameters([(4,)]), mesh), stranger]
        for p in params:
            p.grad = torch.ones_like(p)
        optimizer = KINDS["sgd"].ours(params, backend=backend, **options)
        with pytest.raises(ValueError, match="clip_grad_norm_"):
            optimizer.step()
        assert optimizer.clock == 0
        free = KINDS["sgd"].ours(params, backend=backend)
        free.step()
        assert free.clock == 1


def test_a_checkpoint_spread_otherwise(mesh: Any) -> None:
    plain = parameters([(4, 3)])
    params = spread(plain, mesh)
    a, b = KINDS["adam"].ours(params), KINDS["adam"].ours(plain)
    for optimizer in (a, b):
        optimizer.init_state()
    before = fingerprint(b)
    with pytest.raises(ValueError, match="exp_avg of group 0, parameter 0: expected it spread as None"):
        b.load_state_dict(a.state_dict())
    with pytest.raises(ValueError, match=r"exp_avg of group 0, parameter 0: expected it spread as .*got None"):
        a.load_state_dict(b.state_dict())
    assert fingerprint(b) == before


def _train(rank: int, meeting: str, backend: str) -> None:
    """A sharded model beside the same one in whole, on every process."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=2, init_method=f"file://{meeting}")
    mesh = init_device_mesh("cpu", (2,))
    models, optimizers = [], []
    text = "warmup(2) >> cosine(20) | plateau(metric=grad_norm, patience=0, factor=0.9)"
    for _ in range(2):
        torch.manual_seed(0)
        models.append(torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)))
    fully_shard(models[0], mesh=mesh)
    for model in models:
        options = {"max_grad_norm": 0.05, "skip_nonfinite": True, "schedule": text, "backend": backend}
        optimizers.append(lrdsl.AdamW(model.parameters(), lr=0.1, **options))
    assert [p.to_local().shape[0] for p in models[0].parameters()] == ([3, 3, 1, 1], [2, 2, 0, 0])[rank]
    for step in range(8):
        inputs = torch.randn(6, 7, generator=torch.Generator().manual_seed(step))
        for model, optimizer in zip(models, optimizers, strict=True):
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            if step == 3 and (rank == 0 or model is models[1]):  # overflow in one process skips in all
                local(next(model.parameters()).grad).view(-1)[0] = math.inf
            optimizer.step()
        norms = [optimizer.grad_norm.item() for optimizer in optimizers]
        assert norms[0] == pytest.approx(norms[1], rel=1e-6)
    assert [(optimizer.clock, optimizer.skipped) for optimizer in optimizers] == [(7, 1), (7, 1)]
    assert optimizers[0].param_groups[0]["lr"] == optimizers[1].param_groups[0]["lr"]
    for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(p.full_tensor(), q, rtol=1e-6, atol=1e-7)
    distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("backend", STEPS)
def test_two_processes(backend: str, tmp_path: Path) -> None:
    """FSDP2 with uneven and empty shards: clipping, skipping and reports go over both."""
    torch.multiprocessing.spawn(_train, (str(tmp_path / "meeting"), backend), nprocs=2)
