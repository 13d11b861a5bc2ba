"""The update as one native call: a table of addresses, filled here and read by ``lrdsl._C.step``."""

import sys
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from ctypes import addressof
from functools import partial
from itertools import chain, pairwise
from types import ModuleType
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import increment_version
from torch.nn import Parameter

from lrdsl.optim import torch_abi
from lrdsl.optim.batch import Batch
from lrdsl.optim.device_rows import blank_rows
from lrdsl.optim.distributed import Reach, local
from lrdsl.optim.groups import Group
from lrdsl.optim.hypers import Hypers
from lrdsl.optim.moments import FLOAT32_COUNTS, State, master_of
from lrdsl.optim.neighbours import ZERO, Control
from lrdsl.optim.tensors import CPU, NUMBERS, is_dense, same_layout

STARTED, STEP_FLOAT64, GRAD_FLOAT32 = 1, 2, 4
COLUMNS = {"m": ("exp_avg", "momentum_buffer"), "v": ("exp_avg_sq",), "vmax": ("max_exp_avg_sq",)}
"""Which state a column of the table holds the addresses of."""
NOWHERE = 1
"""Stands for the address of an empty gradient: it exists, but has no memory."""


class Copies(NamedTuple):
    """What stands in for tensors that do not lie in memory like their state, for as long as it is used."""

    gradients: list[Tensor]
    parameters: list[tuple[Tensor, Tensor]]


class NativeStep:
    """One row per parameter, kept between steps: only the gradients' addresses are new each time.

    Attributes:
        outdated: The compiled walk found that a row is not true any more.
        device: Where the tensors are.
        remote: Whether what counts the steps is not this machine.
    """

    device = CPU
    remote = False
    walks = True

    def __init__(
        self, module: ModuleType, kind: int, batch: Batch, hypers: Hypers, control: Control, rows: Any = None
    ) -> None:
        self._rows = blank_rows(module, len(batch.params)) if rows is None else rows
        self._gradients = self._rows["g"]
        table = _address(self._rows), len(self._rows)
        self._step = partial(module.step, kind, *table, _address(hypers.table), len(hypers.table), addressof(control))
        self._norm = partial(module.norm, *table, addressof(control))
        self._hypers, self._control = hypers, control  # keeps the tables alive
        self._batch = batch
        self._module = module
        self._arguments = kind, _address(hypers.table), len(hypers.table), addressof(control)
        self._walk: Any = None
        self._kept: list[object] = []  # what the walk only borrows
        self.outdated = False
        self._stepped: list[Tensor] = []
        self._active: Any = slice(0)
        self._detours: list[tuple[int, int]] = []
        self._indirect: set[int] = set()  # everything that needs a detour whenever it has a gradient
        self._planned: set[int] = set()
        self._retired: set[int] = set()
        self._runs_left = 0
        self._held: list[Tensor] = []  # so that no address of the table is ever freed
        self._places: list[int] = []
        self._counts: dict[int, Tensor] = {}  # the published steps of planned rows

    @property
    def name(self) -> str:
        """What `doctor` calls it."""
        return "native"

    def stale(self, state: MutableMapping[Tensor, State]) -> bool:
        """Whether the rows are no longer true: the state was replaced, or a count reached what float32 can hold."""
        if self._walk is not None:
            return self.outdated or self._runs_left <= 0
        try:
            places = list(map(Tensor.data_ptr, self._parts(chain.from_iterable(map(dict.values, state.values())))))
        except TypeError:  # something beside tensors; whether that changed is unknown
            return True
        return places != self._places or self._runs_left <= 0 or self._is_miscounted()

    def _is_miscounted(self) -> bool:
        """Whether a step that is published is not the one that was counted."""
        counts = self._counts
        counted: list[int] = self._rows["step"][list(counts)].tolist()
        return list(map(Tensor.item, counts.values())) != counted

    def catch_up(self, indices: Iterable[int], unstarted: set[Tensor]) -> None:
        """Before the rows of these parameters are filled again: all is known of them."""

    def missing(self) -> list[int]:
        """Which of the parameters with a gradient have no row yet."""
        return [index for index in self._batch.active if index not in self._planned]

    def resting(self) -> list[int]:
        """Which parameters without a gradient had a row before everything was forgotten."""
        return sorted(self._retired.difference(self._planned, self._batch.active))

    def forget(self) -> None:
        """Plan everything anew."""
        self._runs_left = sys.maxsize
        self._retired |= self._planned
        self._planned = set()
        self._counts = {}

    def plan(
        self,
        grads: Sequence[Tensor],
        resting: Sequence[int],
        state: MutableMapping[Tensor, State],
        unstarted: set[Tensor],
    ) -> None:
        """Make the table right for the parameters that have a gradient now, and for those whose turn comes again."""
        batch, rows = self._batch, self._rows
        missing = set(self.missing())
        look = missing.union(batch.fresh)
        for index in chain(missing, resting):
            p = batch.params[index]
            own = {key: local(tensor) for key, tensor in state.get(p, {}).items()}
            self._fill(index, batch.locals[index], rows[index], own, p not in unstarted)
            self._planned.add(index)
        for index, grad in zip(batch.active, grads, strict=True):
            if index in look:
                p, row = batch.locals[index], rows[index]
                wider = GRAD_FLOAT32 if grad.dtype != p.dtype else 0
                row["flags"] = row["flags"] & ~GRAD_FLOAT32 | wider
                direct = p.numel() and is_direct(p) and same_layout(p, grad) and not grad.is_neg()
                (self._indirect.discard if direct else self._indirect.add)(index)
        indirect = self._indirect
        self._detours = [(i, index) for i, index in enumerate(batch.active) if index in indirect] if indirect else []
        self._stepped = [batch.params[index] for index in batch.active]
        everyone = len(batch.active) == len(batch.params)
        self._active = slice(None) if everyone else np.array(batch.active, dtype=np.intp)
        self._gradients[:] = 0
        if missing or not self._places:
            self._held = list(self._parts(_tensors(state)))
            self._places = list(map(Tensor.data_ptr, self._held))
        if self._walk is None and self.walks and not walk_obstacle(self._module, batch.params, self.device):
            self._state = state
            groups, keys = batch.param_groups, torch_abi.keys(str(self.device))
            self._walk = self._module.Walk(groups, batch.params, state, Tensor, _address(rows), keys, self.remote)
        if self._walk is not None:
            detours = [index for index in indirect if batch.params[index].numel()]
            self._kept = self._walk.accept(sorted(self._planned), detours)
            self.outdated = False

    def _fill(self, index: int, p: Tensor, row: Any, tensors: State, started: bool) -> None:
        """One row, from a parameter and its state; what it knows of the gradient stays."""
        row["p"], row["n"] = p.data_ptr(), p.numel()
        row["flags"] = row["flags"] & GRAD_FLOAT32 | (STARTED if started else 0)
        row["step"] = row["step_out"] = 0
        row["dtype"], row["group"] = NUMBERS[p.dtype], self._batch.groups[index]
        for column, keys in COLUMNS.items():
            row[column] = next((tensors[key].data_ptr() for key in keys if key in tensors), 0)
        master = master_of(p, tensors)
        row["master"] = 0 if master is None else master.data_ptr()
        if any(not tensor.data_ptr() and tensor.numel() for tensor in (p, *filter(_is_tensor, tensors.values()))):
            raise ValueError(f"{self._batch.names[index]} or its state has no memory: a storage was freed")
        if "step" in tensors:
            self._count_in(index, row, tensors["step"])
            self._counts[index] = tensors["step"]

    def holds(self, param_groups: list[Group]) -> bool:
        """Whether these are still the groups, with the same parameters."""
        if self._walk is None or param_groups is not self._batch.param_groups:
            return self._batch.holds(param_groups)
        return bool(self._walk.holds())

    def measure_at_once(self) -> bool:
        """Only find the norm, if no row has to change first; say whether it was found."""
        if self._walk is None:
            return False
        found = self._walk.norm(self._arguments[-1], torch.get_num_threads())
        self.outdated = found == self._module.CHANGED
        return bool(found == self._module.APPLIED)

    def run_at_once(self) -> bool | None:
        """Apply one update as `run`, if no row has to change first; None if one has to, and nothing was done."""
        if self._walk is None or self._runs_left <= 0:
            return None
        found = self._walk.step(*self._arguments, torch.get_num_threads())
        if found == self._module.APPLIED:
            self._runs_left -= 1
            return True
        self.outdated = found == self._module.CHANGED
        return False if found == self._module.SKIPPED else None

    def stepped(self) -> list[int]:
        """Which parameters the last update was for."""
        return np.flatnonzero(self._gradients).tolist()

    def measure(self, grads: Sequence[Tensor]) -> None:
        """Only find the norm."""
        copies = self._stage(grads)
        self._norm(torch.get_num_threads())
        del copies

    def share_norm(self, reach: Reach) -> None:
        """The norm just measured is that of a part."""
        self._control.norm = reach.norm(self._control.norm)

    def run(self, grads: Sequence[Tensor]) -> bool:
        """Apply one update, unless it is to be skipped; say whether it was applied."""
        zero = bool(self._control.flags & ZERO)
        if zero and share_memory(grads):  # one would be zeroed before the other was seen
            self._control.flags &= ~ZERO
        copies = self._stage(grads)
        applied: bool = self._step(torch.get_num_threads())
        if applied:
            self._runs_left -= 1
            increment_version(self._stepped)  # autograd cannot see writes through an address
            with torch.no_grad():
                for p, stage in copies.parameters:
                    p.copy_(stage)
        if zero:
            self._finish_zeroing(grads)
        return applied

    def _count_in(self, index: int, row: Any, step: Tensor) -> None:
        """Continue the count of ``step``, and let the kernel write it there."""
        row["step"], row["step_out"] = int(step), step.data_ptr()
        if step.dtype == torch.float64:
            row["flags"] |= STEP_FLOAT64
        else:
            self._runs_left = min(self._runs_left, FLOAT32_COUNTS - int(step))

    def _stage(self, grads: Sequence[Tensor]) -> Copies:
        """Enter the gradients' addresses; whatever does not lie in memory like its state is copied first."""
        self._gradients[self._active] = self._batch.pointers
        copies = Copies([], [])
        for position, index in self._detours:
            p, grad = self._batch.locals[index].detach(), grads[position].detach()
            if p.numel() == 0:
                self._gradients[index] = NOWHERE
                continue
            copies.gradients.append(torch.empty_like(p, dtype=grad.dtype).copy_(grad))
            self._gradients[index] = copies.gradients[-1].data_ptr()
            if not is_direct(p):
                stage = torch.empty_like(p).copy_(p)
                copies.parameters.append((self._batch.locals[index], stage))
                self._rows["p"][index] = stage.data_ptr()
        return copies

    def _parts(self, tensors: Iterable[Tensor]) -> Iterable[Tensor]:
        """What of them lies in this process."""
        return map(local, tensors) if self._batch.spread else tensors

    @torch.no_grad()
    def _finish_zeroing(self, grads: Sequence[Tensor]) -> None:
        """Zero what the kernel did not see, and tell autograd of the rest."""
        if not self._control.flags & ZERO:
            for grad in grads:  # torch's call for a list refuses negated ones
                grad.zero_()
            return
        for position, _ in self._detours:
            grads[position].zero_()
        increment_version(grads)


def walk_obstacle(module: ModuleType, params: Sequence[Tensor], device: torch.device = CPU) -> str:
    """Why these parameters are walked in Python; empty if the compiled walk can be used."""
    if special := next((type(p).__name__ for p in params if type(p) not in (Tensor, Parameter)), ""):
        return f"there are parameters of type {special}"
    return torch_abi.obstacle(module, str(device))


def is_direct(p: Tensor) -> bool:
    """Whether the elements can be written where they lie."""
    return is_dense(p) and not p.is_neg()


def share_memory(grads: Sequence[Tensor]) -> bool:
    """Whether two gradients may have memory in common."""
    spans = sorted((grad.data_ptr(), grad.nbytes) for grad in grads if grad.numel())
    return any(begin + size > following for (begin, size), (following, _) in pairwise(spans))


def _is_tensor(value: object) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor)


def _tensors(state: MutableMapping[Tensor, State]) -> Iterator[Tensor]:
    """Whatever tensors there are in the state."""
    return filter(_is_tensor, chain.from_iterable(map(dict.values, state.values())))


def _address(table: Any) -> int:
    return int(table.__array_interface__["data"][0])
