"""ZeroRedundancyOptimizer over our classes: every process its part, and the weights of one process."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import pytest

from tests.frameworks.installed import need
from tests.frameworks.processes import Pool

torch = need("torch")
if not torch.distributed.is_available():
    pytest.skip("not run: torch was built without distributed", allow_module_level=True)

from torch import Tensor, distributed, nn  # noqa: E402

import lrdsl  # noqa: E402
from tests.frameworks.pasting import paste  # noqa: E402
from tests.frameworks.test_ddp import difference, loss, model, shares  # noqa: E402
from tests.optim.peers import BACKENDS, KINDS  # noqa: E402

ZeroRedundancyOptimizer = need("torch.distributed.optim").ZeroRedundancyOptimizer

TEXT = "warmup(2) >> cosine(20, to=0.1x) | plateau(patience=0, factor=0.5)"
REPORTS = [2.0, 3.0, 1.0, 1.5, 1.0, 0.5, 0.75, 0.5]
CUT = 4


def train(net: nn.Module, optimizer: Any, steps: Iterable[int]) -> list[float]:
    """The same batches in all processes; gives the rates that were used."""
    rates = []
    for step in steps:
        optimizer.zero_grad()
        loss(net, shares(step).flatten(0, 1)).backward()
        own = getattr(optimizer, "optim", optimizer)
        own.observe(REPORTS[step])
        rates.append(float(own.param_groups[0]["lr"]))
        optimizer.step()
    return rates


def make(kind: str, rate: Any, net: nn.Module, backend: str, zero: bool = True) -> Any:
    peer = KINDS[kind]
    options = peer.options | {"lr": copy.deepcopy(rate), "schedule": TEXT, "backend": backend}
    cls = getattr(lrdsl, peer.name)
    return ZeroRedundancyOptimizer(net.parameters(), cls, **options) if zero else cls(net.parameters(), **options)


def weights(net: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in net.parameters()]


def cut_and_go_on(kind: str, rate: Any, backend: str) -> tuple[float, bool, int]:
    """A run that is saved, loaded elsewhere and continued, beside one of a plain optimizer without a cut."""
    names = paste("zero.md", 1, is_rank_0=distributed.get_rank() == 0)
    net, reference = model(), model()
    plain = make(kind, rate, reference, backend, zero=False)
    expected = train(reference, plain, range(len(REPORTS)))

    optimizer = make(kind, rate, net, backend)
    assert sum(len(group["params"]) for group in optimizer.optim.param_groups) < 4
    rates = train(net, optimizer, range(CUT))
    saved = [names["save"](optimizer)]
    distributed.broadcast_object_list(saved)
    other = copy.deepcopy(net)
    optimizer = make(kind, rate, other, backend)
    names["load"](optimizer, saved[0])
    rates += train(other, optimizer, range(CUT, len(REPORTS)))
    return difference(weights(other), weights(reference)), rates == expected, optimizer.optim.clock


@pytest.mark.works("ZeroRedundancyOptimizer", "weights as in one process, through a state dict, 0 difference")
@pytest.mark.parametrize("rate", [0.1, torch.tensor(0.1)], ids=["float", "tensor"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["sgd", "momentum", "adamw"])
def test_as_one_process(kind: str, backend: str, rate: Any, processes: Pool) -> None:
    assert processes.run(cut_and_go_on, kind, rate, backend) == [(0.0, True, len(REPORTS))] * 2


def pasted() -> tuple[list[float], list[Tensor]]:
    net = model()
    batches = [shares(step).flatten(0, 1) for step in range(6)]
    names = paste("zero.md", model=net, batches=batches, loss_of=loss)
    return list(names["optimizer"].optim.lr_history()["lr"]), weights(net)


def test_page(processes: Pool) -> None:
    rates = list(lrdsl.compile("warmup(500)", base_lr=3e-4).lrs(range(6)))
    (ours, mine), (theirs, others) = processes.run(pasted)
    assert ours == theirs and ours[:4] == rates[:4] and all(map(torch.equal, mine, others))
