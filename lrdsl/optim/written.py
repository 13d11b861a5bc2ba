"""What a scheduler wrote into the groups of an optimizer, and whether somebody else wrote there since."""

from collections.abc import Sequence
from operator import is_
from typing import Any

from torch import Tensor

from lrdsl.optim.groups import Group
from lrdsl.optim.ownership import Cell, agree


class Written:
    """The values of one update, as they stand in the groups now.

    A number that nobody replaced is the same object; a tensor is filled in place, so its version counts as well.

    Args:
        clock: The update.
        groups: The groups.
        cells: What was written.
        values: Cell by cell.
    """

    def __init__(self, clock: int, groups: Sequence[Group], cells: Sequence[Cell], values: Sequence[float]) -> None:
        self._clock, self._cells, self._values = clock, cells, values
        self._groups = groups
        self._entries = [cell.find(groups) for cell in cells]
        self._versions = _versions(self._entries)

    def is_of(self, clock: int, groups: Sequence[Group]) -> bool:
        """Whether it is known what these groups should hold.

        It is not after a load of the optimizer, which makes a new list, nor after somebody moved the clock, as the
        constructor of a ``SequentialLR`` does.
        """
        return clock == self._clock and groups is self._groups

    def disturbed(self) -> tuple[Cell, float, Any] | None:
        """The first cell that somebody else wrote another value to: what was written, and what stands there."""
        found = [cell.find(self._groups) for cell in self._cells]
        if all(map(is_, found, self._entries)) and _versions(found) == self._versions:
            return None
        for cell, value, entry, own in zip(self._cells, self._values, found, self._entries, strict=True):
            if not agree(value, entry, own if isinstance(own, Tensor) else None):
                return cell, value, entry
        return None


def _versions(entries: Sequence[Any]) -> list[int]:
    return [entry._version for entry in entries if isinstance(entry, Tensor)]
