"""The update as one native call: a table of addresses, filled here and read by ``lrdsl._C.step``."""

import sys
from collections.abc import Iterator, MutableMapping, Sequence
from itertools import chain
from types import ModuleType
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from lrdsl.optim.batch import Batch
from lrdsl.optim.hypers import Hypers
from lrdsl.optim.moments import FLOAT32_COUNTS, State
from lrdsl.optim.tensors import is_dense, same_layout

DTYPES = {torch.float32: 0, torch.float64: 1}
STARTED, STEP_FLOAT64 = 1, 2
COLUMNS = {"m": ("exp_avg", "momentum_buffer"), "v": ("exp_avg_sq",), "vmax": ("max_exp_avg_sq",)}
"""Which state a column of the table holds the addresses of."""
NOWHERE = 1
"""Stands for the address of an empty gradient: it exists, but has no memory."""


class NativeStep:
    """One row per parameter, kept between steps: only the gradients' addresses are new each time."""

    name = "native"

    def __init__(self, module: ModuleType, kind: int, batch: Batch, hypers: Hypers) -> None:
        self._rows = np.zeros(len(batch.params), _record(module.ROW_DTYPE, module.ROW_SIZE))
        self._control = np.zeros(1, _record(module.CONTROL_DTYPE, module.CONTROL_SIZE))
        self._gradients = self._rows["g"]
        self._call = module.step
        rows, groups = (_address(self._rows), len(self._rows)), (_address(hypers.table), len(hypers.table))
        self._arguments = (kind, *rows, *groups, _address(self._control))
        self._hypers = hypers  # keeps the table alive
        self._batch = batch
        self._stepped: list[Tensor] = []
        self._active: Any = slice(0)
        self._detours: list[tuple[int, int]] = []
        self._indirect: set[int] = set()  # everything that needs a detour whenever it has a gradient
        self._planned: set[int] = set()
        self._runs_left = 0
        self._held: list[Tensor] = []  # so that no address of the table is ever freed
        self._places: list[int] = []

    def stale(self, state: MutableMapping[Tensor, State]) -> bool:
        """Whether the rows are no longer true: the state was replaced, or a count reached what float32 can hold."""
        try:
            places = list(map(Tensor.data_ptr, chain.from_iterable(map(dict.values, state.values()))))
        except TypeError:  # something beside tensors; whether that changed is unknown
            return True
        return places != self._places or self._runs_left <= 0

    def missing(self) -> list[int]:
        """Which of the parameters with a gradient have no row yet."""
        return [index for index in self._batch.active if index not in self._planned]

    def forget(self) -> None:
        """Plan everything anew."""
        self._rows[:] = np.zeros((), self._rows.dtype)
        self._runs_left = sys.maxsize
        self._planned, self._indirect = set(), set()

    def plan(self, grads: Sequence[Tensor], state: MutableMapping[Tensor, State], unstarted: set[Tensor]) -> None:
        """Make the table right for the parameters that have a gradient now; others keep their rows, and rest."""
        batch, rows = self._batch, self._rows
        missing = set(self.missing())
        look = missing.union(batch.fresh)
        for index, grad in zip(batch.active, grads, strict=True):
            p, row = batch.params[index], rows[index]
            if index in missing:
                self._fill(index, p, row, state.get(p, {}))
                row["flags"] |= 0 if p in unstarted else STARTED
                self._planned.add(index)
            if index in look:
                direct = p.numel() and is_dense(p) and same_layout(p, grad) and not grad.is_neg()
                (self._indirect.discard if direct else self._indirect.add)(index)
        indirect = self._indirect
        self._detours = [(i, index) for i, index in enumerate(batch.active) if index in indirect] if indirect else []
        self._stepped = [batch.params[index] for index in batch.active]
        everyone = len(batch.active) == len(batch.params)
        self._active = slice(None) if everyone else np.array(batch.active, dtype=np.intp)
        self._gradients[:] = 0
        if missing or not self._places:
            self._held = list(_tensors(state))
            self._places = list(map(Tensor.data_ptr, self._held))

    def _fill(self, index: int, p: Tensor, row: Any, tensors: State) -> None:
        """One row, from a parameter and its state."""
        row["p"], row["n"] = p.data_ptr(), p.numel()
        row["dtype"], row["group"] = DTYPES[p.dtype], self._batch.groups[index]
        for column, keys in COLUMNS.items():
            row[column] = next((tensors[key].data_ptr() for key in keys if key in tensors), 0)
        if any(not tensor.data_ptr() and tensor.numel() for tensor in (p, *filter(_is_tensor, tensors.values()))):
            raise ValueError(f"{self._batch.names[index]} or its state has no memory: a storage was freed")
        if "step" in tensors:
            self._count_in(row, tensors["step"])

    def run(self, grads: Sequence[Tensor]) -> None:
        """Apply one update."""
        self._gradients[self._active] = self._batch.pointers
        if self._detours:
            self._run_with_detours(grads)
        else:
            self._call(*self._arguments, torch.get_num_threads())
        increment_version(self._stepped)  # autograd cannot see writes through an address
        self._runs_left -= 1

    def _count_in(self, row: Any, step: Tensor) -> None:
        """Continue the count of ``step``, and let the kernel write it there."""
        row["step"], row["step_out"] = int(step), step.data_ptr()
        if step.dtype == torch.float64:
            row["flags"] |= STEP_FLOAT64
        else:
            self._runs_left = min(self._runs_left, FLOAT32_COUNTS - int(step))

    @torch.no_grad()
    def _run_with_detours(self, grads: Sequence[Tensor]) -> None:
        """Run on copies of whatever does not lie in memory like its state."""
        staged: list[tuple[Tensor, Tensor]] = []
        copies: list[Tensor] = []
        for position, index in self._detours:
            p = self._batch.params[index]
            if p.numel() == 0:
                self._gradients[index] = NOWHERE
                continue
            copies.append(torch.empty_like(p).copy_(grads[position]))
            self._gradients[index] = copies[-1].data_ptr()
            if not is_dense(p):
                staged.append((p, torch.empty_like(p).copy_(p)))
                self._rows["p"][index] = staged[-1][1].data_ptr()
        self._call(*self._arguments, torch.get_num_threads())
        for p, stage in staged:
            p.copy_(stage)


def _is_tensor(value: object) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor)


def _tensors(state: MutableMapping[Tensor, State]) -> Iterator[Tensor]:
    """Whatever tensors there are in the state."""
    return filter(_is_tensor, chain.from_iterable(map(dict.values, state.values())))


def _record(fields: Sequence[tuple[str, str, int]], size: int) -> Any:
    """The NumPy type of a record that the native module describes."""
    names, formats, offsets = zip(*fields, strict=True)
    layout: Any = {"names": names, "formats": formats, "offsets": offsets, "itemsize": size}
    return np.dtype(layout)


def _address(table: Any) -> int:
    return int(table.__array_interface__["data"][0])
