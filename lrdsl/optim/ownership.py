"""Who owns ``group["lr"]``: publishing the scheduled values, and telling ours from somebody else's.

Between steps a group holds the values of its next update, so that loggers find them there. The value alone cannot
tell whether another scheduler wrote it, identity can: every value is published as an object that nobody else has.
"""

import math
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from numbers import Real
from operator import is_
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from lrdsl.optim.groups import Group
from lrdsl.optim.tensors import lives_on
from lrdsl.schedule import Schedule
from lrdsl.track import Track

ENTRIES: dict[str, tuple[str, int | None]] = {"beta1": ("betas", 0), "beta2": ("betas", 1)}
"""Targets that live inside an entry of their group; the others are entries themselves."""


class Unique(float):
    """An equal float with an identity of its own."""


def times_one(value: float) -> float:
    """An equal float; in CPython a new object."""
    return value * 1.0


_probe = 0.1
fresh: Callable[[float], float] = Unique if times_one(_probe) is _probe else times_one


def plain(entry: Any) -> Any:
    """An entry of a group without floats of our own, for checkpoints."""
    if isinstance(entry, tuple):
        return tuple(map(plain, entry))
    return float(entry) if isinstance(entry, Unique) else entry


@dataclass
class Binding:
    """The schedule of one group, and what became of it.

    Attributes:
        schedule: Bound to the group's own base.
        origin: Where the clock stood at the schedule's step 0.
        applied: Target → value of the last update.
        faults: Target → first update for which the schedule had no usable value, so that the last one was held.
    """

    schedule: Schedule
    origin: int = 0
    applied: dict[str, float] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One scheduled value: a target of the group ``index``, and where its values come from."""

    index: int
    target: str
    track: Track
    binding: Binding

    @property
    def entry(self) -> tuple[str, int | None]:
        """The group's key, and which part of a pair."""
        return ENTRIES.get(self.target, (self.target, None))

    @property
    def limit(self) -> float:
        """Usable values are below it, and not below 0."""
        return math.inf if self.entry[1] is None else 1.0

    def find(self, param_groups: Sequence[Group]) -> Any:
        """What stands in the group now."""
        key, part = self.entry
        entry = param_groups[self.index][key]
        return entry if part is None else entry[part]


class Owner(Enum):
    """Whose values stand in the groups.

    Attributes:
        READ: What was published, in groups that are as the last step read them.
        OURS: What was published.
        FOREIGN: Something else, if only another object that says the same.
    """

    READ = 0
    OURS = 1
    FOREIGN = 2


class Publication:
    """The values of all cells, as they stand in the groups for the next update.

    Attributes:
        cells: What is scheduled.
        values: In force for the next update, cell by cell.

    Args:
        cells: See above.
        param_groups: The groups.
        remote: The device that knows the values, and writes them into its tensors; the host only forecasts them.
            Whatever else there is becomes a number of the host's.
    """

    def __init__(self, cells: Sequence[Cell], param_groups: list[Group], remote: torch.device | None = None) -> None:
        self.cells = list(cells)
        self._remote = remote is not None
        self._groups = param_groups
        # What `Track.value` calls, without its frame: this runs for every group at every step.
        self._calls = [(c.track.evaluator.value, c.track.state, c.binding.origin, c.limit) for c in self.cells]
        entries = [cell.find(param_groups) for cell in self.cells]
        self._tensors = [
            (i, entry)
            for i, entry in enumerate(entries)
            if isinstance(entry, Tensor) and (remote is None or lives_on(entry, remote))
        ]
        self.values = array("d", map(float, entries))
        self._applied = array(
            "d", (c.binding.applied.get(c.target, max(v, 0.0)) for c, v in zip(self.cells, self.values, strict=True))
        )
        self._held: list[int] = []
        self._objects: list[object] = [None] * len(self.cells)
        self._clock = -1
        self._before: list[object] = []
        self._versions: list[int] = []
        self._native: Any = None
        self._hosted: tuple[list[int], array[float], list[object]] | None = None
        self._kept: list[Group] = []

    @property
    def outs(self) -> list[Tensor | None]:
        """The tensor of every cell that shows its value."""
        own = dict(self._tensors)
        return [own.get(i) for i in range(len(self.cells))]

    @property
    def applied(self) -> list[float]:
        """The values of the last update, cell by cell."""
        return self._applied.tolist()

    @property
    def is_native(self) -> bool:
        """Whether values are published past `Hypers`."""
        return self._native is not None

    def compile(self, module: ModuleType, watched: Sequence[str], address: Callable[[int, str], int]) -> None:
        """From now on publish with one native call, if that can be done.

        Args:
            module: The extension.
            watched: The keys of a group that a step reads.
            address: Where a step reads the value of a group's target.
        """
        if fresh is not times_one or any(c.track.evaluator.name != "native" for c in self.cells):
            return
        values, objects, hosted = self.values, self._objects, list(range(len(self.cells)))
        if self._tensors and not self._remote:
            return
        if self._tensors:  # the device writes those
            own = dict(self._tensors)
            hosted = [i for i in hosted if i not in own]
            values, objects = array("d", (self.values[i] for i in hosted)), [None for _ in hosted]
            self._hosted = hosted, values, objects
            for i, tensor in self._tensors:
                self._objects[i] = tensor
            self._versions = [tensor._version for tensor in own.values()]
        cells = []
        for cell in (self.cells[i] for i in hosted):
            key, part = cell.entry
            where = address(cell.index, cell.target)
            program = cell.track.evaluator.address  # type: ignore[attr-defined]
            part = -1 if part is None else part
            cells.append((cell.index, key, part, program, cell.track.state, cell.binding.origin, where))
        self._kept = list(self._groups)  # which the publisher only borrows
        self._native = module.Publisher(
            self._groups, list(watched), cells, values, objects, "lr" if self._remote else ""
        )

    def watch(self) -> None:
        """A step has read the groups as they are now."""
        if self._native is not None:
            self._native.watch()

    def publish(self, clock: int) -> None:
        """Put the values of update ``clock`` into the groups."""
        if clock != self._clock:
            self._clock, self._before = clock, []
        elif not self._before:
            self._before = list(self._objects)  # a report replaces them
        if self._native is not None and self._native.publish(clock):
            self._held = []
            for i, value, entry in zip(*self._hosted, strict=True) if self._hosted is not None else ():
                self.values[i], self._objects[i] = value, entry
            return
        self.forecast(clock)
        self._write()

    def forecast(self, clock: int) -> None:
        """Find the values of update ``clock``, and leave the groups alone."""
        values = [value(clock - origin, state) for value, state, origin, _ in self._calls]
        self._held = [i for i, (v, call) in enumerate(zip(values, self._calls, strict=True)) if not 0.0 <= v < call[3]]
        for i in self._held:
            values[i] = self._applied[i]
        self.values[:] = array("d", values)

    def owner(self, param_groups: list[Group]) -> Owner:
        """Whose values stand in the groups now; those of before a report, put back, are replaced."""
        if param_groups is not self._groups:
            self._groups, self._native = param_groups, None
        if self._unwritten() and self._native is not None and self._native.same():
            return Owner.READ
        return Owner.OURS if self.stands() or self._returns() else Owner.FOREIGN

    def adopt(self, look: Callable[[], None] | None = None) -> None:
        """Take back equal copies of what was published.

        Args:
            look: Makes the values exact, before something foreign is compared with them.

        Raises:
            RuntimeError: Somebody else wrote another value.
        """
        if look is not None:
            look()
        own = dict(self._tensors)
        for i, (cell, value, theirs) in enumerate(zip(self.cells, self.values, self._found(), strict=True)):
            if not agree(value, theirs, own.get(i)):
                theirs = theirs.item() if isinstance(theirs, Tensor) and theirs.numel() == 1 else theirs
                advice = "Pass `opt.as_scheduler()` to the framework" if cell.target == "lr" else "Remove it"
                raise RuntimeError(
                    f"group {cell.index}: {cell.target} is {theirs}, but this optimizer's schedule says {value}: "
                    f"another scheduler or code writes {cell.target}. {advice}, or drop `schedule=`"
                )
        self._write()

    def is_zeroed(self) -> bool:
        """Whether somebody else wrote 0 as every scheduled rate. Waits for the device of a tensor.

        Where schedules govern no rate at all, everything is somebody else's.
        """
        if self.is_rateless:
            return all(_is_zero(group["lr"]) for group in self._groups)
        versions = dict(zip((i for i, _ in self._tensors), self._versions, strict=True))

        def is_foreign(i: int, entry: Any) -> bool:
            moved = isinstance(entry, Tensor) and versions.get(i, entry._version) != entry._version
            return moved or entry is not self._objects[i]

        found = [(i, entry) for i, entry in enumerate(self._found()) if self.cells[i].target == "lr"]
        return bool(found) and all(is_foreign(i, entry) and _is_zero(entry) for i, entry in found)

    @property
    def is_rateless(self) -> bool:
        """Whether there are schedules, and none of them is a rate's."""
        return bool(self.cells) and all(cell.target != "lr" for cell in self.cells)

    @contextmanager
    def standing_in(self) -> Iterator[None]:
        """Put what was published into the groups, and what stands there now back at the end."""
        theirs = [
            (self._groups[cell.index], cell.entry[0], self._groups[cell.index][cell.entry[0]]) for cell in self.cells
        ]
        self._put(self._objects)
        try:
            yield
        finally:
            for group, key, entry in theirs:
                group[key] = entry

    def advance(self, clock: int) -> None:
        """Update ``clock`` has run on the values in force."""
        self._applied[:] = self.values
        for i in self._held if not self._remote else ():
            self.cells[i].binding.faults.setdefault(self.cells[i].target, clock)

    def learn(self, applied: Sequence[float], faults: Sequence[int]) -> None:
        """What a device tells of its last update, and of the first without a usable value (-1: none), cell by cell."""
        self._applied[:] = array("d", applied)
        for cell, fault in zip(self.cells, faults, strict=True):
            if fault >= 0:
                cell.binding.faults[cell.target] = fault

    def stands(self) -> bool:
        """Whether nobody else has written what was published."""
        return self._unwritten() and all(map(is_, self._found(), self._objects))

    def remember(self) -> None:
        """Note the applied values in the bindings, which outlive this object."""
        for cell, value in zip(self.cells, self._applied, strict=True):
            cell.binding.applied[cell.target] = value

    def recall(self) -> None:
        """Take the applied values from the bindings again."""
        self._applied[:] = array("d", (cell.binding.applied[cell.target] for cell in self.cells))

    def _returns(self) -> bool:
        """Whether somebody put back what stood there before a report, and did nothing else; if so, write anew.

        `torch.distributed.optim.ZeroRedundancyOptimizer` does: it keeps a copy of the groups from update to update.
        """
        if not self._before or not self._unwritten():
            return False
        known = zip(self._found(), self._objects, self._before, strict=True)
        if not all(entry is now or entry is before for entry, now, before in known):
            return False
        self._write()
        return True

    def _unwritten(self) -> bool:
        """Whether nobody else has written into our tensors."""
        return not self._tensors or self._versions == [tensor._version for _, tensor in self._tensors]

    def _found(self) -> list[Any]:
        return [cell.find(self._groups) for cell in self.cells]

    def _write(self) -> None:
        objects: list[Any] = list(map(fresh, self.values))
        for i, tensor in self._tensors:
            objects[i] = tensor if self._remote else tensor.fill_(self.values[i])
        self._put(objects)
        self._objects[:] = objects
        self._versions = [tensor._version for _, tensor in self._tensors]

    def _put(self, objects: Sequence[Any]) -> None:
        for cell, entry in zip(self.cells, objects, strict=True):
            group, (key, part) = self._groups[cell.index], cell.entry
            group[key] = entry if part is None else tuple(entry if i == part else e for i, e in enumerate(group[key]))


def agree(value: float, theirs: object, own: Tensor | None) -> bool:
    """Whether a foreign object says the same as ``value``, as precisely as a tensor on either side can."""
    if not isinstance(theirs, Tensor | Real) or (isinstance(theirs, Tensor) and theirs.numel() != 1):
        return False
    dtypes = [tensor.dtype for tensor in (theirs, own) if isinstance(tensor, Tensor)]
    coarsest = min(dtypes, key=lambda dtype: dtype.itemsize, default=torch.float64)
    ours, said = (torch.tensor(float(side), dtype=coarsest, device="cpu") for side in (value, theirs))
    return bool(ours == said)


def _is_zero(entry: object) -> bool:
    if isinstance(entry, Tensor):
        return entry.numel() == 1 and entry.item() == 0
    return isinstance(entry, Real) and entry == 0
