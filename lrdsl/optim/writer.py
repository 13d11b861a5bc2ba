"""Who evaluates a schedule beside an optimizer, and writes the values into its groups."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from lrdsl.optim.binding import cells
from lrdsl.optim.groups import Group, check_report, reported
from lrdsl.optim.ownership import Binding, Cell, agree
from lrdsl.optim.written import Written

Rate = float | Tensor


class Writer(Protocol):
    """One way to do it."""

    def publish(self, clock: int) -> list[Rate]:
        """Write the values of update ``clock`` into the groups; give the rate of each group."""
        ...

    def advance(self, clock: int) -> tuple[int, list[Rate]]:
        """Write the values of the update after ``clock``; give its number, as far as it is known, and the rates."""
        ...

    def forecast(self, clock: int) -> tuple[int, list[Rate]]:
        """The update whose values the groups hold, ``clock`` as far as the host knows, and the rates."""
        ...

    def wait(self, clock: int) -> tuple[int, list[Rate]]:
        """As `forecast`, but exact."""
        ...

    def rates(self, clock: int) -> list[Rate]:
        """The rate of each group at update ``clock``, with what was reported so far. Nothing is written."""
        ...

    def check(self, value: float | Tensor, metric: str) -> None:
        """Raise unless this can be observed.

        Raises:
            ScheduleError: No schedule listens to ``metric`` (E0209).
            TypeError, ValueError: ``value`` is no real number.
            RuntimeError: A graph is being captured, and it is no tensor of the device.
        """
        ...

    def observe(self, value: float | Tensor, metric: str, clock: int) -> list[Rate]:
        """Take a report made before update ``clock``, whose values are written anew if they are in force.

        Raises as `check`.
        """
        ...

    def succeed(self, bindings: Sequence[Binding]) -> "Writer":
        """The writer of other schedules for the same groups. Nothing is written."""
        ...

    def is_in_force(self, clock: int) -> bool:
        """Whether the groups hold the values of update ``clock``."""
        ...

    def check_owner(self, clock: int) -> None:
        """Raise if it wrote the values of update ``clock`` last, and somebody else wrote other ones since.

        Raises:
            RuntimeError: There is a second scheduler, or other code that writes.
        """
        ...


class HostWriter:
    """Evaluates on the host. Numbers are replaced in their group, tensors are filled and stay what they are.

    Args:
        optimizer: Whose groups; torch replaces them when it loads a state dict, so they are looked up every time.
        bindings: The schedule of each.
        bases: What each was made with, by target.

    Attributes:
        cells: What is scheduled.

    Raises:
        ValueError: Two groups share a tensor that their schedules would write different values to.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, bindings: Sequence[Binding], bases: Sequence[Mapping[str, float]]
    ) -> None:
        self._optimizer = optimizer
        self._bindings, self._bases = bindings, bases
        self.cells = cells(bindings, optimizer.param_groups, tuple(bases[0]))
        self._faulty: set[int] = set()
        self._written: Written | None = None
        for cell in self.cells:
            cell.binding.applied.setdefault(cell.target, max(bases[cell.index][cell.target], 0.0))
        _check_shared(self.cells, optimizer.param_groups)

    def publish(self, clock: int) -> list[Rate]:
        """As `Writer.publish`."""
        groups = self._groups()
        values = self._values(clock, warn=True)
        for cell, value in zip(self.cells, values, strict=True):
            cell.binding.applied[cell.target] = value
            _write(cell, groups[cell.index], value)
        self._written = Written(clock, groups, self.cells, values)
        return self._rates(values)

    def check_owner(self, clock: int) -> None:
        """As `Writer.check_owner`; a tensor that nobody wrote to is not read."""
        written = self._written
        if written is None or not written.is_of(clock, self._groups()) or (found := written.disturbed()) is None:
            return
        cell, ours, theirs = found
        theirs = theirs.item() if isinstance(theirs, Tensor) and theirs.numel() == 1 else theirs
        raise RuntimeError(
            f"group {cell.index}: {cell.target} is {theirs}, but this scheduler wrote {ours}: another scheduler or "
            f"code writes {cell.target}. Remove it, or write it into the text (`a * b` multiplies schedules, "
            "`| plateau(...)` cuts on a metric)"
        )

    def _stands(self, clock: int) -> bool:
        """Whether it is its turn: one that waits in a ``SequentialLR``, or has had its turn, must not write."""
        if self._written is not None and self._written.is_of(clock, self._groups()):
            return self._written.disturbed() is None
        return clock >= 0 and self.is_in_force(clock)

    def rates(self, clock: int) -> list[Rate]:
        """As `Writer.rates`."""
        return self._rates(self._values(clock))

    def advance(self, clock: int) -> tuple[int, list[Rate]]:
        """As `Writer.advance`."""
        return clock + 1, self.publish(clock + 1)

    def forecast(self, clock: int) -> tuple[int, list[Rate]]:
        """As `Writer.forecast`."""
        return clock, self.rates(clock)

    wait = forecast

    def check(self, value: float | Tensor, metric: str) -> None:
        """As `Writer.check`."""
        check_report(value)
        self._bindings[0].schedule.check_metric(metric)  # they are of one text: if the first one listens, all do

    def observe(self, value: float | Tensor, metric: str, clock: int) -> list[Rate]:
        """As `Writer.observe`."""
        in_force = self._stands(clock)
        self.take(value, metric, clock)
        return self.publish(clock) if in_force else self.rates(clock)

    def take(self, value: float | Tensor, metric: str, clock: int) -> None:
        """As `observe`, but nothing is written."""
        self.check(value, metric)
        for binding in self._bindings:
            binding.schedule.observe(reported(value), metric, step=max(clock, 0))

    def heard(self, metric: str, clock: int) -> None:
        """Somebody else took a report made before update ``clock``."""
        for binding in self._bindings:
            binding.schedule.reported(metric, max(clock, 0))

    def succeed(self, bindings: Sequence[Binding]) -> "HostWriter":
        """As `Writer.succeed`."""
        return HostWriter(self._optimizer, bindings, self._bases)

    def is_in_force(self, clock: int) -> bool:
        """As `Writer.is_in_force`."""
        groups = self._groups()
        return all(
            agree(value, cell.find(groups), None) for value, cell in zip(self._values(clock), self.cells, strict=True)
        )

    def _groups(self) -> list[Group]:
        groups = self._optimizer.param_groups
        if len(groups) != len(self._bindings):
            raise RuntimeError(
                f"this scheduler was made for {len(self._bindings)} parameter groups, now there are {len(groups)}: "
                "make a new one after add_param_group"
            )
        return groups

    def _values(self, clock: int, warn: bool = False) -> list[float]:
        """Cell by cell; where a schedule has no usable value, the last one stays."""
        values = []
        for i, cell in enumerate(self.cells):
            value = cell.track.value(max(clock, 0))
            if not 0.0 <= value < cell.limit:
                if warn and i not in self._faulty:
                    self._faulty.add(i)
                    cell.binding.faults.setdefault(cell.target, max(clock, 0))
                    message = f"group {cell.index}: {cell.target} has no usable value at step {clock}, the last is held"
                    warnings.warn(message, RuntimeWarning, stacklevel=2)
                value = cell.binding.applied[cell.target]
            values.append(value)
        return values

    def _rates(self, values: Sequence[float]) -> list[Rate]:
        rates: list[Rate] = [_own(group["lr"]) for group in self._groups()]
        for cell, value in zip(self.cells, values, strict=True):
            if cell.target == "lr":
                rates[cell.index] = value
        return rates


@torch.no_grad()
def _write(cell: Cell, group: Group, value: float) -> None:
    key, part = cell.entry
    entry = group[key] if part is None else group[key][part]
    if isinstance(entry, Tensor):
        entry.fill_(value)
    else:
        group[key] = value if part is None else tuple(value if i == part else e for i, e in enumerate(group[key]))


def _check_shared(found: Sequence[Cell], groups: Sequence[Group]) -> None:
    """Raise unless every tensor is written to in one way only."""
    governed = {(cell.index, cell.entry): cell.track.program.pack() for cell in found}
    ways: dict[int, tuple[int, Any]] = {}
    for key, part in {cell.entry for cell in found}:
        for index, group in enumerate(groups):
            entry = group[key] if part is None else group[key][part]
            if not isinstance(entry, Tensor):
                continue
            way = governed.get((index, (key, part)))
            first, other = ways.setdefault(id(entry), (index, way))
            if way != other:
                raise ValueError(
                    f"groups {first} and {index} share one tensor as {key}, but not its schedule: give each its own, "
                    f"as in {{'params': ..., '{key}': torch.tensor(...)}}"
                )


def _own(entry: Rate) -> Rate:
    """A rate that nobody else changes."""
    return entry.detach().clone() if isinstance(entry, Tensor) else entry
