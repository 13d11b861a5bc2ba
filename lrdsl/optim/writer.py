"""Who evaluates a schedule beside an optimizer, and writes the values into its groups."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from lrdsl.optim.binding import cells
from lrdsl.optim.groups import Group, report
from lrdsl.optim.ownership import Binding, Cell

Rate = float | Tensor


class Writer(Protocol):
    """One way to do it."""

    def publish(self, clock: int) -> list[Rate]:
        """Write the values of update ``clock`` into the groups; give the rate of each group."""
        ...

    def rates(self, clock: int) -> list[Rate]:
        """The rate of each group at update ``clock``, with what was reported so far. Nothing is written."""
        ...

    def observe(self, value: float | Tensor, metric: str, clock: int) -> None:
        """Take a report made before update ``clock``; nothing is written.

        Raises:
            ScheduleError: No schedule listens to ``metric`` (E0209).
            TypeError, ValueError: ``value`` is no real number.
        """
        ...

    def is_in_force(self, clock: int) -> bool:
        """Whether the groups hold the values of update ``clock``."""
        ...


class HostWriter:
    """Evaluates on the host. Numbers are replaced in their group, tensors are filled and stay what they are.

    Args:
        optimizer: Whose groups; torch replaces them when it loads a state dict, so they are looked up every time.
        bindings: The schedule of each.
        bases: What each was made with, by target.

    Raises:
        ValueError: Two groups share a tensor that their schedules would write different values to.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, bindings: Sequence[Binding], bases: Sequence[Mapping[str, float]]
    ) -> None:
        self._optimizer = optimizer
        self._bindings = bindings
        self._cells = cells(bindings, optimizer.param_groups, tuple(bases[0]))
        self._faulty: set[int] = set()
        for cell in self._cells:
            cell.binding.applied.setdefault(cell.target, max(bases[cell.index][cell.target], 0.0))
        _check_shared(self._cells, optimizer.param_groups)

    def publish(self, clock: int) -> list[Rate]:
        """As `Writer.publish`."""
        groups = self._groups()
        values = self._values(clock, warn=True)
        for cell, value in zip(self._cells, values, strict=True):
            cell.binding.applied[cell.target] = value
            _write(cell, groups[cell.index], value)
        return self._rates(values)

    def rates(self, clock: int) -> list[Rate]:
        """As `Writer.rates`."""
        return self._rates(self._values(clock))

    def observe(self, value: float | Tensor, metric: str, clock: int) -> None:
        """As `Writer.observe`."""
        number = report(value)
        for binding in self._bindings:  # of one text: if the first one listens, all do
            binding.schedule.observe(number, metric, step=clock)

    def is_in_force(self, clock: int) -> bool:
        """As `Writer.is_in_force`."""
        groups = self._groups()
        found = [cell.find(groups) for cell in self._cells]
        return all(map(_holds, found, self._values(clock)))

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
        for i, cell in enumerate(self._cells):
            value = cell.track.value(max(clock, 0))
            if not 0.0 <= value < cell.limit:
                if warn and i not in self._faulty:
                    self._faulty.add(i)
                    message = f"group {cell.index}: {cell.target} has no usable value at step {clock}, the last is held"
                    warnings.warn(message, RuntimeWarning, stacklevel=2)
                value = cell.binding.applied[cell.target]
            values.append(value)
        return values

    def _rates(self, values: Sequence[float]) -> list[Rate]:
        rates: list[Rate] = [_own(group["lr"]) for group in self._groups()]
        for cell, value in zip(self._cells, values, strict=True):
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


def _holds(entry: Rate, value: float) -> bool:
    if isinstance(entry, Tensor):
        return bool(entry == torch.tensor(value, dtype=entry.dtype, device=entry.device))
    return entry == value


def _own(entry: Rate) -> Rate:
    """A rate that nobody else changes."""
    return entry.detach().clone() if isinstance(entry, Tensor) else entry
