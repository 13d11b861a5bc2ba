"""Who owns ``group["lr"]``: publishing the scheduled values, and telling ours from somebody else's.

Between steps a group holds the values of its next update, so that loggers find them there. The value alone cannot
tell whether another scheduler wrote it, identity can: every value is published as an object that nobody else has.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Real
from operator import is_
from typing import Any

import torch
from torch import Tensor

from lrdsl.optim.groups import Group
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
class Source:
    """Where one target of the group ``index`` gets its values."""

    index: int
    track: Track
    binding: Binding


class Column:
    """One target in all groups that schedule it.

    Attributes:
        target: ``lr``, ``beta1``, …
        indices: Which groups.
        values: In force for the next update.
    """

    def __init__(self, target: str, sources: Sequence[Source], param_groups: Sequence[Group]) -> None:
        self.target = target
        self.indices = [source.index for source in sources]
        self._sources = sources
        # What `Track.value` calls, without its frame: this runs for every group at every step.
        self._calls = [(s.track.evaluator.value, s.track.state, s.binding.origin) for s in sources]
        self._key, self._part = ENTRIES.get(target, (target, None))
        self._limit = math.inf if self._part is None else 1.0
        entries = self._entries(param_groups)
        self._tensors = [(i, entry) for i, entry in enumerate(entries) if isinstance(entry, Tensor)]
        self.values = list(map(float, entries))
        self._applied = [
            s.binding.applied.get(target, max(now, 0.0)) for s, now in zip(sources, self.values, strict=True)
        ]
        self._held: list[int] = []
        self._objects: list[object] = []
        self._versions: list[int] = []

    def publish(self, param_groups: Sequence[Group], clock: int) -> None:
        """Put the values of update ``clock`` into the groups."""
        values = [value(clock - origin, state) for value, state, origin in self._calls]
        self._held = []
        if not all(0.0 <= value < self._limit for value in values):
            self._held = [i for i, value in enumerate(values) if not 0.0 <= value < self._limit]
            for i in self._held:
                values[i] = self._applied[i]
        self.values = values
        self._write(param_groups)

    def check(self, param_groups: Sequence[Group]) -> None:
        """Take back equal copies of what was published.

        Raises:
            RuntimeError: Somebody else wrote another value.
        """
        found = self._entries(param_groups)
        if all(map(is_, found, self._objects)) and self._versions == [tensor._version for _, tensor in self._tensors]:
            return
        own = dict(self._tensors)
        for i, (value, theirs) in enumerate(zip(self.values, found, strict=True)):
            if not _agree(value, theirs, own.get(i)):
                theirs = theirs.item() if isinstance(theirs, Tensor) and theirs.numel() == 1 else theirs
                raise RuntimeError(
                    f"group {self.indices[i]}: {self.target} is {theirs}, but this optimizer's schedule says {value}: "
                    f"another scheduler or code writes {self.target}. Remove it, or drop `schedule=`"
                )
        self._write(param_groups)

    def advance(self, clock: int) -> None:
        """Update ``clock`` has run on the values in force."""
        self._applied = self.values
        for i in self._held:
            self._sources[i].binding.faults.setdefault(self.target, clock)

    def remember(self) -> None:
        """Note the applied values in the bindings, which outlive this column."""
        for source, value in zip(self._sources, self._applied, strict=True):
            source.binding.applied[self.target] = value

    def _entries(self, param_groups: Sequence[Group]) -> list[Any]:
        entries = [param_groups[index][self._key] for index in self.indices]
        return entries if self._part is None else [entry[self._part] for entry in entries]

    def _write(self, param_groups: Sequence[Group]) -> None:
        objects: list[Any] = list(map(fresh, self.values))
        for i, tensor in self._tensors:
            objects[i] = tensor.fill_(self.values[i])
        key, part = self._key, self._part
        for index, entry in zip(self.indices, objects, strict=True):
            group = param_groups[index]
            group[key] = entry if part is None else tuple(entry if i == part else e for i, e in enumerate(group[key]))
        self._objects = objects
        self._versions = [tensor._version for _, tensor in self._tensors]


def _agree(value: float, theirs: object, own: Tensor | None) -> bool:
    """Whether a foreign object says the same as ``value``, as precisely as a tensor on either side can."""
    if not isinstance(theirs, Tensor | Real) or (isinstance(theirs, Tensor) and theirs.numel() != 1):
        return False
    dtypes = [tensor.dtype for tensor in (theirs, own) if isinstance(tensor, Tensor)]
    coarsest = min(dtypes, key=lambda dtype: dtype.itemsize, default=torch.float64)
    ours, said = (torch.tensor(float(side), dtype=coarsest) for side in (value, theirs))
    return bool(ours == said)
