"""What several processes observe: one value for all of them, or a word that they differ."""

import time
from collections import Counter, deque
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, distributed

from lrdsl.optim.groups import reported
from lrdsl.optim.tensors import CPU

Reduce = Literal["mean", "own"] | None
"""How a report is made one of all processes; ``own``: it is none."""
OFTEN = 16
"""The first so many reports are compared, then one of so many."""
KEPT = 4
"""Comparisons that may be under way at once, before the slowest process comes to the first of them."""

BEGAN = time.time()
"""What is older was reported by processes of before a restart."""

_namesakes: Counter[str] = Counter()


def n_processes() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def check_reduce(reduce: object) -> None:
    """Raise ValueError unless it is a `Reduce`."""
    if reduce not in (None, "mean", "own"):
        raise ValueError(f"expected reduce to be None, 'mean' or 'own', got {reduce!r}")


def mean(value: float | Tensor, device: torch.device) -> float | Tensor:
    """The mean over all processes, a float64 tensor on ``device``; in a single process what is given.

    Args:
        value: One number. A tensor is not read.
        device: Where parameters are, so that the process group reaches it.
    """
    if n_processes() == 1:
        return value
    if isinstance(value, Tensor):
        total = value.detach().to(device, torch.float64, copy=True).reshape(())
    else:
        total = torch.tensor(float(value), dtype=torch.float64, device=device)
    distributed.all_reduce(total)
    return total.div_(n_processes())


class Agreement:
    """Compares the reports of all processes, without waiting for one: some may never report.

    Who comes first leaves the value in the store of the process group, the others look there. A tensor on a device is
    not compared, because it would have to be read.
    """

    def __init__(self) -> None:
        self._name = ""
        self._counts: Counter[str] = Counter()
        self._left: deque[str] = deque()

    def check(self, value: float | Tensor, metric: str, clock: int, schedules: Iterable[object]) -> None:
        """Compare a report.

        Args:
            value: One number.
            metric: What it is.
            clock: The next update.
            schedules: They tell an optimizer from others, so that each is compared with its counterparts; of several
                with the same ones, the order of their first reports tells.

        Raises:
            RuntimeError: Another process has reported another value.
        """
        if n_processes() == 1:
            return
        if not self._name:
            texts = " / ".join(sorted({*map(str, schedules)}))
            self._name = f"lrdsl/{texts}/{_namesakes[texts]}"
            _namesakes[texts] += 1
        count = self._counts[metric]
        if (count < OFTEN or count % OFTEN == 0) and (not isinstance(value, Tensor) or value.device == CPU):
            self._compare(repr(reported(value) + 0.0), metric, f"{self._name}/{metric}/{clock}/{count}")
        self._counts[metric] += 1

    def _compare(self, value: str, metric: str, key: str) -> None:
        rank = distributed.get_rank()
        mine = f"{rank} {time.time()} {value}"
        try:
            other, _, theirs = self._leave(key, mine).split()
        except RuntimeError:
            return  # a store that cannot do this, or whose process has ended before: nothing to compare with
        if theirs != value:
            raise RuntimeError(
                f"rank {rank} observes {metric} = {value}, rank {other} observed {theirs}, and their schedules would "
                f"drift apart: write `observe(x, reduce='mean')`, or reduce='own' if every process trains for itself"
            )

    def _leave(self, key: str, mine: str) -> str:
        """What whoever came first has left; ours if nobody did."""
        store = distributed.distributed_c10d._get_default_store()
        found: str = store.compare_set(key, "", mine).decode()
        if found != mine and float(found.split()[1]) < BEGAN:
            # Torchrun starts processes anew beside a store that stays.
            store.set(key, mine)
            found = mine
        if found == mine:
            self._left.append(key)
            if len(self._left) > KEPT:
                store.delete_key(self._left.popleft())
        return found
