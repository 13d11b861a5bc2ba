"""The update as one native call: a table of addresses, filled here and read by ``lrdsl._C.step``."""

import sys
from collections.abc import MutableMapping, Sequence
from types import ModuleType
from typing import Any

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
        names, formats, offsets = zip(*module.ROW_DTYPE, strict=True)
        layout: Any = {"names": names, "formats": formats, "offsets": offsets, "itemsize": module.ROW_SIZE}
        self._rows = np.zeros(len(batch.params), np.dtype(layout))
        self._gradients = self._rows["g"]
        self._call = module.step
        self._arguments = (kind, _address(self._rows), len(self._rows), _address(hypers.table), len(hypers.table))
        self._hypers = hypers  # keeps the table alive
        self._batch = batch
        self._stepped: list[Tensor] = []
        self._active: Any = slice(0)
        self._detours: list[tuple[int, int]] = []
        self._runs_left = 0

    @property
    def stale(self) -> bool:
        """Whether a step count has reached what float32 can hold, so that it needs a new plan."""
        return self._runs_left <= 0

    def plan(self, grads: Sequence[Tensor], state: MutableMapping[Tensor, State], unstarted: set[Tensor]) -> None:
        """Fill the rows of the parameters that have a gradient now."""
        batch, rows = self._batch, self._rows
        rows[:] = np.zeros((), rows.dtype)
        self._runs_left = sys.maxsize
        self._detours = []
        for position, (index, grad) in enumerate(zip(batch.active, grads, strict=True)):
            p, row = batch.params[index], rows[index]
            tensors = state.get(p, {})
            row["p"], row["n"] = p.data_ptr(), p.numel()
            row["dtype"], row["group"] = DTYPES[p.dtype], batch.groups[index]
            for column, keys in COLUMNS.items():
                row[column] = next((tensors[key].data_ptr() for key in keys if key in tensors), 0)
            row["flags"] = 0 if p in unstarted else STARTED
            if "step" in tensors:
                self._count_in(row, tensors["step"])
            if not (p.numel() and is_dense(p) and same_layout(p, grad)):
                self._detours.append((position, index))
        self._stepped = [batch.params[index] for index in batch.active]
        everyone = len(batch.active) == len(batch.params)
        self._active = slice(None) if everyone else np.array(batch.active, dtype=np.intp)

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


def _address(table: Any) -> int:
    return int(table.__array_interface__["data"][0])
