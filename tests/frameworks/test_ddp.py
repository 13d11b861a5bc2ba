"""DDP: the weights of one process, one metric for all, and a word if the processes report several."""

from __future__ import annotations

import copy
import time
import warnings
from contextlib import nullcontext
from typing import Any
from unittest.mock import patch

import pytest

from tests.frameworks.installed import need
from tests.frameworks.processes import Pool

torch = need("torch")
if not torch.distributed.is_available():
    pytest.skip("not run: torch was built without distributed", allow_module_level=True)

from torch import Tensor, distributed, nn  # noqa: E402
from torch.nn.parallel import DistributedDataParallel  # noqa: E402

import lrdsl  # noqa: E402
from lrdsl.optim import agreement  # noqa: E402
from tests.frameworks.pasting import paste  # noqa: E402
from tests.optim.peers import BACKENDS, KINDS, fingerprint  # noqa: E402

TEXT = "warmup(2) >> cosine(20, to=0.1x) | plateau(patience=0, factor=0.5)"
N = 6


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 1))


def shares(step: int) -> Tensor:
    """The batch of every process."""
    return torch.randn(2, 4, 7, generator=torch.Generator().manual_seed(step))


def loss(net: nn.Module, batch: Tensor) -> Tensor:
    return (net(batch) - 1).square().mean()


def add_up(net: nn.Module, batch: Tensor, parts: int) -> float:
    """Gradients of the mean over a batch that is given in parts, and this mean."""
    total = 0.0
    for i, part in enumerate(batch.chunk(parts)):
        waits = i == parts - 1 or not isinstance(net, DistributedDataParallel)
        with nullcontext() if waits else net.no_sync():
            value = loss(net, part) / parts
            value.backward()
        total += value.item()
    return total


def in_parallel(net: nn.Module, optimizer: Any, parts: int) -> None:
    for step in range(N):
        optimizer.zero_grad()
        optimizer.observe(add_up(net, shares(step)[distributed.get_rank()], parts), reduce="mean")
        optimizer.step()


def one_after_the_other(net: nn.Module, optimizer: Any, parts: int) -> None:
    """What two processes do, in one."""
    for step in range(N):
        observed, grads = [], []
        for share in shares(step):
            optimizer.zero_grad()
            observed.append(add_up(net, share, parts))
            grads.append([p.grad for p in net.parameters()])
        for p, first, second in zip(net.parameters(), *grads, strict=True):
            p.grad = (first + second) / 2
        optimizer.observe(sum(observed) / 2, reduce="own")
        optimizer.step()


def joined(net: nn.Module, optimizer: Any, parts: int) -> None:
    for step in range(N):
        optimizer.zero_grad()
        optimizer.observe(add_up(net, shares(step).flatten(0, 1), 1), reduce="own")
        optimizer.step()


def difference(ours: list[Tensor], theirs: list[Tensor]) -> float:
    return max((p - q).abs().max().item() for p, q in zip(ours, theirs, strict=True))


def train(kind: str, backend: str, parts: int) -> tuple[list[Tensor], list[float]]:
    """Weights after DDP, and how far those of one process are from them: like two, and with joined batches."""
    results, runs = [], []
    for how in (in_parallel, one_after_the_other, joined):
        net = DistributedDataParallel(model()) if how is in_parallel else model()
        optimizer = KINDS[kind].ours(net.parameters(), lr=0.1, schedule=TEXT, backend=backend)
        how(net, optimizer, parts)
        results.append([p.detach().clone() for p in net.parameters()])
        runs.append((optimizer.clock, *optimizer.lr_history()["lr"], optimizer.param_groups[0]["lr"]))
    assert runs[0] == runs[1] and runs[0][0] == N
    assert runs[0][-1] != lrdsl.compile(TEXT, base_lr=0.1).lr(N)  # the plateau has cut
    return results[0], [difference(results[0], other) for other in results[1:]]


@pytest.mark.works("DDP", "weights as in one process, 0 difference")
@pytest.mark.parametrize("parts", [1, 2], ids=["", "accumulation"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["sgd", "momentum", "adamw"])
def test_as_one_process(kind: str, backend: str, parts: int, processes: Pool) -> None:
    """Against one that does what two do nothing differs; with joined batches sums are rounded in another order."""
    (weights, differences), (others, theirs) = processes.run(train, kind, backend, parts)
    assert all(map(torch.equal, weights, others)) and differences == theirs
    assert differences[0] == 0.0 and differences[1] < 2e-7


def train_exactly(kind: str) -> list[list[Tensor]]:
    """Whole numbers, and gradients that do not depend on the weights: every sum is exact, in whatever order."""
    whole = [
        torch.randint(-8, 8, (2, 4, 7), generator=torch.Generator().manual_seed(step)).float() for step in range(N)
    ]
    results = []
    for parallel in (True, False):
        net = nn.Linear(7, 5)
        for p in net.parameters():
            nn.init.ones_(p)
        net = DistributedDataParallel(net) if parallel else net
        optimizer = KINDS[kind].ours(net.parameters(), lr=0.1, schedule="warmup(2) >> cosine(20)")
        for batch in whole:
            optimizer.zero_grad()
            net(batch[distributed.get_rank()] if parallel else batch.flatten(0, 1))[:, 0].mean().backward()
            optimizer.step()
        results.append([p.detach().clone() for p in net.parameters()])
    return results


@pytest.mark.works("DDP", "weights as in one process, 0 difference")
@pytest.mark.parametrize("kind", ["sgd", "momentum", "adamw"])
def test_as_the_joined_batch_where_sums_are_exact(kind: str, processes: Pool) -> None:
    for parallel, alone in processes.run(train_exactly, kind):
        assert difference(parallel, alone) == 0.0 and (alone[0] != 1).any()


# --- one metric for all ---------------------------------------------------------------------------------------------


def make(adapter: bool, text: str, backend: str = "python") -> tuple[Any, Any]:
    """An optimizer, and who observes."""
    params = [nn.Parameter(torch.ones(3))]
    if adapter:
        optimizer = torch.optim.SGD(params, lr=1.0)
        return optimizer, lrdsl.LRScheduler(optimizer, text)
    optimizer = lrdsl.SGD(params, lr=1.0, schedule=text, backend=backend)
    return optimizer, optimizer


def observe_means(adapter: bool, backend: str) -> list[dict[str, float]]:
    """Reports of all sorts, and what the plateau has kept of each."""
    rank = distributed.get_rank()
    _, observer = make(adapter, "hold() | plateau(patience=9)", backend)
    kept = []
    for value in (1.0 + rank, torch.tensor(0.5 - rank), torch.tensor([-3.0 * rank], dtype=torch.float64), -9):
        before = copy.copy(value)
        observer.observe(value, reduce="mean")
        assert value == before
        kept.append(observer.schedules[0].state_dict()["modifiers"]["lr"]["plateau.best"])
    with patch.object(distributed, "all_reduce", side_effect=AssertionError):
        observer.observe(-10.0)
        observer.observe(-11.0 - rank, reduce="own")
    kept.append(observer.schedules[0].state_dict()["modifiers"]["lr"]["plateau.best"])
    return kept


@pytest.mark.works("DDP", "`observe(x, reduce='mean')`: one metric for all")
@pytest.mark.parametrize(("adapter", "backend"), [(True, "python"), *((False, backend) for backend in ("python",))])
def test_the_mean_is_observed(adapter: bool, backend: str, processes: Pool) -> None:
    means = [1.5, 0.0, -1.5, -9.0]
    assert processes.run(observe_means, adapter, backend) == [[*means, -11.0], [*means, -12.0]]


def test_the_mean_of_one_process_is_what_it_says() -> None:
    for adapter in (False, True):
        _, observer = make(adapter, "hold() | plateau(patience=9)")
        observer.observe(2.5, reduce="mean")
        assert observer.schedules[0].state_dict()["modifiers"]["lr"]["plateau.best"] == 2.5


@pytest.mark.parametrize("adapter", [False, True], ids=["optimizer", "adapter"])
def test_another_word_for_reduce(adapter: bool) -> None:
    optimizer, observer = make(adapter, "hold() | plateau()")
    before = fingerprint(optimizer)
    with pytest.raises(ValueError, match=r"^expected reduce to be None, 'mean' or 'own', got 'sum'$"):
        observer.observe(1.0, reduce="sum")
    assert fingerprint(optimizer) == before


def differ(adapter: bool, at: int, by: str) -> str:
    """Reports of which one is not the same in both processes; what the second one to come says."""
    rank = distributed.get_rank()
    text = f"hold() | plateau(patience={at + 5}, factor=0.{adapter + 1})"
    optimizer, observer = make(adapter, text)
    for report in range(at):
        observer.observe(1.0 / (report + 1))
        optimizer.step()
    if rank == 1:
        distributed.barrier()
    before, state = fingerprint(optimizer), observer.state_dict()
    said = ""
    try:
        (observer.step if by == "step" else observer.observe)(torch.tensor(0.25) if rank else 0.5)
    except RuntimeError as error:
        said = str(error)
        assert fingerprint(optimizer) == before and observer.state_dict() == state
        observer.observe(0.5)
    if rank == 0:
        distributed.barrier()
    return said


@pytest.mark.works("DDP", "an error if the processes observe different values")
@pytest.mark.parametrize(
    ("adapter", "at", "by"),
    [(False, 0, "observe"), (False, 3, "observe"), (False, 32, "observe"), (True, 0, "observe"), (True, 2, "step")],
)
def test_processes_differ(adapter: bool, at: int, by: str, processes: Pool) -> None:
    assert processes.run(differ, adapter, at, by) == [
        "",
        "rank 1 observes loss = 0.25, rank 0 observed 0.5, and their schedules would drift apart: "
        "write `observe(x, reduce='mean')`, or reduce='own' if every process trains for itself",
    ]


def zeros() -> None:
    _, observer = make(False, "hold() | plateau(patience=76)")
    observer.observe(-0.0 if distributed.get_rank() else 0)


def test_zeros_of_either_sign_are_the_same(processes: Pool) -> None:
    processes.run(zeros)


def after_the_end_of_the_store() -> float:
    optimizer, observer = make(False, "hold() | plateau(patience=0, cooldown=75)")
    keeper = distributed.TCPStore("127.0.0.1", 0, is_master=True)
    store = distributed.TCPStore("127.0.0.1", keeper.port, is_master=False)
    with patch.object(distributed.distributed_c10d, "_get_default_store", lambda: store):
        observer.observe(1.0)
        del keeper
        with pytest.raises(distributed.DistError):
            while True:
                store.set("here", "nobody")  # the first ones are sent into the void
        observer.observe(2.0)
    return float(optimizer.param_groups[0]["lr"])


def test_the_process_that_keeps_the_store_may_end_first(processes: Pool) -> None:
    assert processes.run(after_the_end_of_the_store) == [0.1, 0.1]


def only_one_observes() -> int:
    """Whoever does not report is not waited for; gives what is left in the store."""
    optimizer, observer = make(False, "hold() | plateau(patience=77)")
    for report in range(40):
        if distributed.get_rank() == 0:
            observer.observe(1.0 / (report + 1))
        optimizer.step()
    distributed.barrier()
    return sum("patience=77" in key for key in distributed.distributed_c10d._get_default_store().list_keys())


def test_one_process_alone_may_observe(processes: Pool) -> None:
    assert processes.run(only_one_observes) == [4, 4]


def who_warns() -> list[str]:
    p = nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    optimizer = lrdsl.SGD([p], lr=1.0, schedule="hold() | plateau(patience=2)", total_steps=N)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(N):
            if distributed.get_rank() == 0:
                optimizer.observe(1.0)
            optimizer.step()
    return [str(warning.message) for warning in said]


def test_who_hears_nothing_is_told_that_all_must_report(processes: Pool) -> None:
    assert processes.run(who_warns) == [
        [],
        [
            "no `loss` was reported before update 5, so `plateau` could do nothing: report it with opt.observe(value) "
            "in every process, or drop what waits for it"
        ],
    ]


def differ_from_before_a_restart() -> None:
    """The store of torchrun outlives the processes: what is in it may be a report of other ones."""
    _, observer = make(False, "hold() | plateau(patience=78)")
    if distributed.get_rank() == 0:
        observer.observe(0.5)
    distributed.barrier()
    if distributed.get_rank() == 1:
        with patch.object(agreement, "BEGAN", time.time()):
            observer.observe(0.25)
    distributed.barrier()


def test_reports_of_before_a_restart_are_not_compared(processes: Pool) -> None:
    processes.run(differ_from_before_a_restart)


class Gone(distributed.Store):  # type: ignore[misc]
    """A store that can do nothing, as torch's for a fake process group, or one whose process has ended."""


def report_without_a_store() -> list[float]:
    optimizer, observer = make(False, TEXT)
    with patch.object(distributed.distributed_c10d, "_get_default_store", Gone):
        for _ in range(3):
            optimizer.step()
            observer.observe(1.0)
    return [group["lr"] for group in optimizer.param_groups]


def test_a_store_that_cannot_compare(processes: Pool) -> None:
    first, second = processes.run(report_without_a_store)
    assert first == second


def pasted() -> tuple[list[float], list[Tensor]]:
    batches = [shares(step)[distributed.get_rank()] for step in range(N)]
    names = paste("ddp.md", model=model(), batches=batches, loss_of=loss)
    return list(names["optimizer"].lr_history()["lr"]), [p.detach().clone() for p in names["model"].parameters()]


def test_page(processes: Pool) -> None:
    rates = list(lrdsl.compile("warmup(500) >> cosine(10000, to=0.1x)", base_lr=3e-4).lrs(range(N)))
    (ours, weights), (theirs, others) = processes.run(pasted)
    assert ours == theirs and ours[:4] == rates[:4]  # then there may be a cut
    assert all(map(torch.equal, weights, others))
