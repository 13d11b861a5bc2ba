"""The rates of the last updates where a device makes them: it writes a ring that the host reads without waiting."""

from typing import Any

import numpy as np

from lrdsl.optim.device_schedule import DeviceSchedule
from lrdsl.optim.history import History


class DeviceHistory(History):
    """Beside what was noted before, the ring of a device."""

    def __init__(self, schedule: DeviceSchedule, before: History) -> None:
        super().__init__()
        self._ring = schedule.ring
        self.restore(before.save())

    def note(self, step: int, rates: Any) -> None:
        """The device does that."""

    def read(self, n: int) -> Any:
        """The last ``n`` updates that the device has told of."""
        told = History()
        told.restore(self.save())
        return told.read(n)

    def save(self) -> object:
        """As of the host's; the ring's updates came in the order of their steps."""
        ring = self._ring.copy()
        whole = ring[(ring["step"] >= 0) & (ring["step"] == self._ring["step"])]
        ordered = whole[np.argsort(whole["step"])]
        return (*self._moments, *((int(moment["step"]), moment["lr"].tobytes()) for moment in ordered))

    def restore(self, saved: Any) -> None:
        """As of the host's; while the device rests."""
        super().restore(saved)
        self._ring["step"] = -1

    def collect(self) -> None:
        """The clock is about to be set, while the device rests: steps will not tell before from after."""
        self.restore(self.save())

    def clear(self) -> None:
        """Forget everything; while the device rests."""
        self.restore(())
