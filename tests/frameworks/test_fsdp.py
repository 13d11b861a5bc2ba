"""FSDP2: weights after a sharded run are those of one process, and clipping costs one number."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest

from tests.frameworks.installed import need
from tests.frameworks.processes import Pool

torch = need("torch")
if not torch.distributed.is_available():
    pytest.skip("not run: torch was built without distributed", allow_module_level=True)

from torch import Tensor, distributed, nn  # noqa: E402
from torch.distributed.fsdp import fully_shard  # noqa: E402
from torch.distributed.tensor import DTensor, init_device_mesh  # noqa: E402
from torch.distributed.tensor.debug import CommDebugMode  # noqa: E402

import lrdsl  # noqa: E402
from lrdsl.optim.distributed import local  # noqa: E402
from tests.frameworks.pasting import paste  # noqa: E402
from tests.optim.peers import BACKENDS, KINDS  # noqa: E402

TEXT = "warmup(2) >> cosine(20) | plateau(patience=1, factor=0.5)"
STEPS = 6


def model(dtype: torch.dtype = torch.float32) -> nn.Module:
    """Of two processes the first has 3 of 5 rows, and the only row of the last layer."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 1)).to(dtype)


def batches(dtype: torch.dtype = torch.float32) -> Iterator[list[Tensor]]:
    """What every process gets, step by step."""
    for step in range(STEPS):
        yield torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(step)).to(dtype).unbind()


def groups(net: nn.Module) -> list[dict[str, Any]]:
    """Weights, and biases at half the rate."""
    weights, biases = ([p for p in net.parameters() if (p.dim() > 1) == matrix] for matrix in (True, False))
    return [{"params": weights}, {"params": biases, "lr_scale": 0.5}]


def loss(net: nn.Module, batch: Tensor) -> Tensor:
    return (net(batch) - 1).square().mean()


def one_process(net: nn.Module, optimizer: Any, dtype: torch.dtype = torch.float32) -> None:
    """The same batches, the share of the second process added to that of the first."""
    for step, shares in enumerate(batches(dtype)):
        optimizer.zero_grad()
        for share in shares:
            (loss(net, share) / 2).backward()
        optimizer.observe(1.0 + (step > 1))
        optimizer.step()


def sharded(net: nn.Module, optimizer: Any, rank: int, dtype: torch.dtype = torch.float32) -> None:
    for step, shares in enumerate(batches(dtype)):
        optimizer.zero_grad()
        loss(net, shares[rank]).backward()
        optimizer.observe(1.0 + (step > 1))
        optimizer.step()


def difference(net: nn.Module, reference: nn.Module) -> float:
    """The largest between any two weights."""
    pairs = zip(net.parameters(), reference.parameters(), strict=True)
    return max((p.full_tensor() - q).abs().max().item() for p, q in pairs)


def train(kind: str, backend: str, dtype: torch.dtype, clip: dict[str, float]) -> float:
    rank, mesh = distributed.get_rank(), init_device_mesh("cpu", (2,))
    net, reference = model(dtype), model(dtype)
    for layer in (net[0], net):
        fully_shard(layer, mesh=mesh)
    assert [local(p).shape[0] for p in net.parameters()] == ([3, 3, 1, 1], [2, 2, 0, 0])[rank]
    options = {"schedule": TEXT, "lr": 0.1, "backend": backend, "master_weights": dtype != torch.float32, **clip}
    ours, theirs = (KINDS[kind].ours(groups(side), **options) for side in (net, reference))
    sharded(net, ours, rank, dtype)
    one_process(reference, theirs, dtype)
    for p in net.parameters():
        for key, moment in ours.state[p].items():
            assert key == "step" or (isinstance(moment, DTensor) and moment.placements == p.placements)
    assert ours.clock == theirs.clock == STEPS
    assert [g["lr"] for g in ours.param_groups] == [g["lr"] for g in theirs.param_groups]
    if clip:
        assert ours.grad_norm.item() == pytest.approx(theirs.grad_norm.item(), rel=1e-7)
        assert ours.grad_norm > clip["max_grad_norm"]
    return difference(net, reference)


@pytest.mark.works("FSDP2", "weights as in one process, 0 difference")
@pytest.mark.parametrize("clip", [{}, {"max_grad_norm": 0.05}], ids=["", "clipped"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["sgd", "momentum", "adamw"])
def test_as_one_process(kind: str, backend: str, dtype: torch.dtype, clip: dict[str, Any], processes: Pool) -> None:
    """Uneven and empty shards, two groups, a plateau, bfloat16 with master weights."""
    assert processes.run(train, kind, backend, dtype, clip) == [0.0, 0.0]


def clip_and_count(backend: str) -> tuple[list[dict[str, int]], list[int]]:
    """What one step sends without and with a norm, and how many numbers are added up."""
    counts = []
    numbers: list[int] = []
    send = distributed.all_reduce

    def count(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        numbers.append(tensor.numel())
        return send(tensor, *args, **kwargs)

    for options in ({}, {"max_grad_norm": 0.05, "skip_nonfinite": True}):
        net = model()
        fully_shard(net, mesh=init_device_mesh("cpu", (2,)))
        optimizer = lrdsl.AdamW(groups(net), lr=0.1, schedule=TEXT, backend=backend, **options)
        for shares in batches():
            loss(net, shares[0]).backward()
            with CommDebugMode() as sent, patch.object(distributed, "all_reduce", count):
                optimizer.step()
            counts.append({str(name): n for name, n in sent.get_comm_counts().items()})
    return counts, numbers


@pytest.mark.works("FSDP2", "`max_grad_norm` by one all-reduced number")
@pytest.mark.parametrize("backend", BACKENDS)
def test_clipping_sends_one_number(backend: str, processes: Pool) -> None:
    for counts, numbers in processes.run(clip_and_count, backend):
        assert counts == [{}] * STEPS + [{"c10d.allreduce_": 1}] * STEPS
        assert numbers == [1] * STEPS


def overflow(backend: str) -> tuple[list[int], float, int]:
    """One gradient overflows, in a part that only the first process has."""
    rank = distributed.get_rank()
    net = model()
    fully_shard(net, mesh=init_device_mesh("cpu", (2,)))
    optimizer = lrdsl.AdamW(groups(net), lr=0.1, schedule=TEXT, backend=backend)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    clocks = []
    for step, shares in enumerate(batches()):
        optimizer.zero_grad()
        scaler.scale(loss(net, shares[rank])).backward()
        if step == 2 and rank == 0:
            local(net[2].weight.grad)[0, 0] = math.inf
        scaler.step(optimizer)
        scaler.update()
        clocks.append(optimizer.clock)
    return clocks, scaler.get_scale(), optimizer.skipped


@pytest.mark.works("FSDP2", "an overflow in one process skips the step in all")
@pytest.mark.parametrize("backend", BACKENDS)
def test_overflow_in_one_process(backend: str, processes: Pool) -> None:
    assert processes.run(overflow, backend) == [([1, 2, 2, 3, 4, 5], 512.0, 1)] * 2


def zeroed(gradient: float) -> list[int]:
    """Clocks after steps at rates of 0 that somebody else wrote, the model sharded in part, in two ways.

    Only the first process may have a gradient with something in it.
    """
    clocks = []
    for layers in ((0, 2), (2, 0), (0,), (2,)):
        net = model()
        for layer, mesh in zip(layers, ((2,), (1, 2)), strict=False):
            fully_shard(net[layer], mesh=init_device_mesh("cpu", mesh, mesh_dim_names=("b", "a")[-len(mesh) :]))
        optimizer = lrdsl.AdamW(net.parameters(), lr=0.1, schedule="warmup(2) >> cosine(20)")
        for p in net.parameters():
            p.grad = torch.zeros_like(p)
        if distributed.get_rank() == 0:
            local(net[layers[-1]].weight.grad)[0, 0] = gradient
        optimizer.param_groups[0]["lr"] = float("0")
        optimizer.step()
        clocks.append(optimizer.clock)
    return clocks


@pytest.mark.parametrize(("gradient", "clock"), [(0.0, 0), (1.0, 1)], ids=["phantom", "real"])
def test_all_processes_take_a_step_for_the_same(gradient: float, clock: int, processes: Pool) -> None:
    """Also where parameters lie on several meshes, or some of them on none."""
    assert processes.run(zeroed, gradient) == [[clock] * 4] * 2


def pasted() -> list[float]:
    given = {"model": model(), "batches": [shares[distributed.get_rank()] for shares in batches()]}
    names = paste("fsdp.md", loss_of=loss, **given)
    return list(names["optimizer"].lr_history()["lr"])


def test_page(processes: Pool) -> None:
    rates = lrdsl.compile("warmup(500) >> cosine(10000, to=0.1x)", base_lr=3e-4).lrs(range(STEPS))
    assert processes.run(pasted) == [list(rates)] * 2
