"""The rows of a device: what the host has put into them, and what it knows of what the device wrote since."""

from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np
from torch import Tensor

from lrdsl.optim.accelerator import Accelerator
from lrdsl.optim.moments import FLOAT32_COUNTS

STARTED = 1
"""The flag of a row whose momentum buffer holds something. The device alone writes it, and the count of steps."""


def blank_rows(module: ModuleType, count: int) -> Any:
    """Rows in the layout of ``csrc/tables.h``."""
    names, formats, offsets = zip(*module.ROW_DTYPE, strict=True)
    layout: Any = {"names": names, "formats": formats, "offsets": offsets, "itemsize": module.ROW_SIZE}
    return np.zeros(count, np.dtype(layout))


def runs(indices: Any) -> list[tuple[int, int]]:
    """Ranges, each of neighbours, from sorted numbers."""
    if not len(indices):
        return []
    breaks = np.flatnonzero(np.diff(indices) != 1)
    firsts, lasts = indices[np.r_[0, breaks + 1]], indices[np.r_[breaks, len(indices) - 1]]
    return list(zip(firsts.tolist(), (lasts + 1).tolist(), strict=True))


class DeviceRows:
    """One row per parameter, in memory that stays where it is.

    Args:
        accelerator: The device.
        module: The extension.
        count: How many.
        place: Where they are on the device.

    Attributes:
        table: The host's copy. Its counts and ``STARTED`` are those of the last `pull`.
        present: Which rows the device has.
        steps: Step launches when the copy was last exact.
    """

    def __init__(self, accelerator: Accelerator, module: ModuleType, count: int, place: int) -> None:
        self.table = blank_rows(module, count)
        self.present = np.zeros(count, np.bool_)
        self.steps = 0
        self._accelerator, self._place = accelerator, place
        self._counts: dict[int, tuple[Tensor, int]] = {}
        self._filled: set[int] = set()

    def known(self, index: int, step: Tensor) -> bool:
        """Whether the count is the device's own: nobody has written the tensor that shows it."""
        count = self._counts.get(index)
        return bool(self.present[index]) and count is not None and count[0] is step and count[1] == _version(step)

    def fill(self, index: int, step: Tensor | None) -> None:
        """The host has written a row, which shows its count in ``step``."""
        self._filled.add(index)
        if step is None:
            self._counts.pop(index, None)
        else:
            self._counts[index] = step, _version(step)

    def pull(self) -> None:
        """Read what the device wrote."""
        now = np.empty_like(self.table)
        self._accelerator.download(now, self._place)
        here = self.present
        self.table["step"][here] = now["step"][here]
        self.table["flags"][here] = self.table["flags"][here] & ~STARTED | now["flags"][here] & STARTED

    def indices(self) -> list[int]:
        """The rows that the device has."""
        return np.flatnonzero(self.present).tolist()

    @property
    def waiting(self) -> bool:
        """Whether there are rows to be handed over."""
        return bool(self._filled)

    def upload(self, exact: bool) -> None:
        """Hand over the rows that were filled; all between the first and the last if the copy is exact."""
        filled = np.array(sorted(self._filled))
        for first, end in [(int(filled[0]), int(filled[-1]) + 1)] if exact else runs(filled):
            self._accelerator.upload(self._place + first * self.table.itemsize, self.table[first:end])
        self.present[filled] = True
        self._filled.clear()

    def started(self) -> list[int]:
        """Rows whose momentum buffer held something at the last `pull`."""
        return np.flatnonzero(self.present & (self.table["flags"] & STARTED != 0)).tolist()

    def beyond_float32(self) -> Iterable[tuple[int, int]]:
        """Rows with more steps, and how many, than the float32 that shows them can count."""
        for index in np.flatnonzero(self.present & (self.table["step"] >= FLOAT32_COUNTS)).tolist():
            yield index, int(self.table["step"][index])


def _version(step: Tensor) -> int:
    """Moves whenever torch writes the tensor; an inference tensor has none."""
    return -1 if step.is_inference() else step._version
