"""Distributed checkpoints: a run that is cut, and goes on in another number of processes, is the run without a cut."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.installed import need
from tests.frameworks.processes import Pool

torch = need("torch")
if not torch.distributed.is_available():
    pytest.skip("not run: torch was built without distributed", allow_module_level=True)

from torch import Tensor, distributed, nn  # noqa: E402
from torch.distributed import checkpoint as dcp  # noqa: E402
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner  # noqa: E402
from torch.distributed.checkpoint.state_dict import (  # noqa: E402
    StateDictOptions,
    get_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import fully_shard  # noqa: E402
from torch.distributed.tensor import DTensor  # noqa: E402

from tests.frameworks.pasting import paste  # noqa: E402
from tests.optim.peers import KINDS  # noqa: E402

TEXT = "warmup(2) >> cosine(20, to=0.1x) | plateau(patience=0, factor=0.5)"
REPORTS = [math.inf, 2.0, 3.0, 1.0, 1.5, 1.0, 0.5, 0.75]
"""One before every step; the plateau cuts at several."""
CUTS = (3, 5)
MODES = ["plain", "flattened", "full", "broadcast", "async"]
OPTIMIZERS = {name: KINDS[name] for name in ("sgd", "momentum", "adamw")}


def make(kind: str, seed: int, tensor_rate: bool = False) -> tuple[nn.Module, Any]:
    """A model and its optimizer with two groups; shards, if there are two processes."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 1))
    if distributed.is_initialized():
        fully_shard(net)
    weights, biases = ([p for p in net.parameters() if (p.dim() > 1) == matrix] for matrix in (True, False))
    groups = [{"params": weights}, {"params": biases, "lr": torch.tensor(0.05) if tensor_rate else 0.05}]
    rate = torch.tensor(0.1) if tensor_rate else 0.1
    return net, OPTIMIZERS[kind].ours(groups, schedule=TEXT, lr=rate)


def train(net: nn.Module, optimizer: Any, steps: Iterable[int]) -> None:
    """Every process has one half of a batch; one process alone adds up both."""
    for step in steps:
        shares = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(step)).unbind()
        if distributed.is_initialized():
            shares = (shares[distributed.get_rank()],)
        optimizer.zero_grad()
        for share in shares:
            ((net(share) - 1).square().mean() / len(shares)).backward()
        optimizer.observe(REPORTS[step])
        optimizer.step()


def options(mode: str) -> StateDictOptions:
    return StateDictOptions(
        flatten_optimizer_state_dict=mode == "flattened",
        full_state_dict=mode in ("full", "broadcast"),
        cpu_offload=mode in ("full", "broadcast"),
        broadcast_from_rank0=mode == "broadcast",
    )


def save(net: nn.Module, optimizer: Any, mode: str, folder: Path) -> None:
    weights, state = get_state_dict(net, optimizer, options=options("full" if mode == "broadcast" else mode))
    saved = {"model": weights, "optimizer": state}
    if mode == "async" and distributed.is_initialized():
        # It talks from a thread; in the group of the training its messages would be mixed up with those of the steps.
        future = dcp.async_save(saved, checkpoint_id=folder, process_group=distributed.new_group(backend="gloo"))
        train(net, optimizer, [7])  # what happens meanwhile is not in it
        future.result()
    elif mode in ("full", "broadcast"):
        if not distributed.is_initialized() or distributed.get_rank() == 0:
            torch.save(saved, folder)
    else:
        dcp.save(saved, checkpoint_id=folder)


def load(net: nn.Module, optimizer: Any, mode: str, folder: Path) -> None:
    alone = not distributed.is_initialized()
    mode = "full" if mode == "broadcast" and alone else mode
    weights, state = get_state_dict(net, optimizer, options=options(mode if mode != "broadcast" else "full"))
    if mode in ("full", "broadcast"):
        saved: dict[str, Any] = {"model": {}, "optimizer": {}}
        if mode == "full" or distributed.get_rank() == 0:
            saved = torch.load(folder, weights_only=True)
    else:
        saved = {"model": weights, "optimizer": state}
        dcp.load(saved, checkpoint_id=folder)
    # One by one: `set_state_dict` would take an empty dictionary for "no weights" and not wait for the others.
    set_model_state_dict(net, saved["model"], options=options(mode))
    set_optimizer_state_dict(net, optimizer, saved["optimizer"], options=options(mode))


def whole(value: Any) -> Any:
    return value.full_tensor() if isinstance(value, DTensor) else value


def found(net: nn.Module, optimizer: Any) -> dict[str, Any]:
    """All there is: weights, state, clock, rates, and what the schedules remember."""
    result = {name: whole(p).detach().clone() for name, p in net.named_parameters()}
    for name, p in net.named_parameters():
        result |= {f"{name} {key}": whole(value).clone() for key, value in optimizer.state.get(p, {}).items()}
    for index, group in enumerate(optimizer.state_dict()["param_groups"]):
        result |= {f"{index} {key}": value for key, value in group.items() if key != "params"}
    return result | {"clock": optimizer.clock}


def assert_same(ours: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(ours) == list(expected)
    for key, value in expected.items():
        assert torch.equal(ours[key], value) if isinstance(value, Tensor) else ours[key] == value, key


def begin(kind: str, tensor_rate: bool, mode: str, folder: Path) -> None:
    net, optimizer = make(kind, 0, tensor_rate)
    train(net, optimizer, range(CUTS[0]))
    save(net, optimizer, mode, folder)


def go_on(kind: str, tensor_rate: bool, mode: str, folder: Path, steps: Iterable[int]) -> dict[str, Any]:
    net, optimizer = make(kind, 1, tensor_rate)
    load(net, optimizer, mode, folder)
    train(net, optimizer, steps)
    return found(net, optimizer)


def pass_on(kind: str, tensor_rate: bool, mode: str, folders: list[Path], steps: Iterable[int]) -> None:
    net, optimizer = make(kind, 2, tensor_rate)
    load(net, optimizer, mode, folders[0])
    train(net, optimizer, steps)
    save(net, optimizer, mode, folders[1])


@pytest.mark.works("Distributed Checkpoint", "2 processes, then 1, then 2, 0 difference")
@pytest.mark.parametrize("tensor_rate", [False, True], ids=["float", "tensor"])
@pytest.mark.parametrize(
    ("mode", "kind"),
    # Torch refuses full_state_dict for an optimizer that keeps nothing.
    [
        (mode, kind)
        for mode in MODES
        for kind in OPTIMIZERS
        if (mode, kind) not in (("full", "sgd"), ("broadcast", "sgd"))
    ],
)
def test_two_one_two(mode: str, kind: str, tensor_rate: bool, processes: Pool, tmp_path: Path) -> None:
    net, optimizer = make(kind, 0, tensor_rate)
    train(net, optimizer, range(len(REPORTS)))
    expected = found(net, optimizer)

    folders = [tmp_path / "first", tmp_path / "second"]
    processes.run(begin, kind, tensor_rate, mode, folders[0])
    pass_on(kind, tensor_rate, mode, folders, range(*CUTS))
    for ours in processes.run(go_on, kind, tensor_rate, mode, folders[1], range(CUTS[1], len(REPORTS))):
        assert_same(ours, expected)


@pytest.mark.parametrize("flat", [False, True], ids=["", "flattened"])
def test_from_an_optimizer_of_torch(flat: bool, tmp_path: Path) -> None:
    """It has no schedule: a planner has to be content with less, and the clock has to be set."""
    how = StateDictOptions(flatten_optimizer_state_dict=flat)
    torch.manual_seed(0)
    net = nn.Linear(3, 2)
    theirs = torch.optim.AdamW(net.parameters(), lr=0.1)
    for _ in range(3):
        net(torch.ones(3)).sum().backward()
        theirs.step()
        theirs.zero_grad()
    dcp.save({"optimizer": get_state_dict(net, theirs, options=how)[1]}, checkpoint_id=tmp_path)

    ours = OPTIMIZERS["adamw"].ours(net.parameters(), schedule=TEXT, lr=0.1)
    saved = {"optimizer": get_state_dict(net, ours, options=how)[1]}
    dcp.load(saved, checkpoint_id=tmp_path, planner=DefaultLoadPlanner(allow_partial_load=True))
    set_optimizer_state_dict(net, ours, saved["optimizer"], options=how)
    assert ours.clock == 0
    ours.set_clock(3)
    for p in net.parameters():
        assert all(torch.equal(theirs.state[p][key], ours.state[p][key]) for key in ("exp_avg", "exp_avg_sq", "step"))


def pasted(folder: Path) -> None:
    names = paste("checkpoints.md")
    net, optimizer = make("adamw", 0)
    train(net, optimizer, range(4))
    names["save"](net, optimizer, folder)
    expected = found(net, optimizer)
    other, fresh = make("adamw", 1)
    names["load"](other, fresh, folder)
    assert_same(found(other, fresh), expected)


def test_page(processes: Pool, tmp_path: Path) -> None:
    processes.run(pasted, tmp_path)
