"""One peer's turn: some calls in a row, timed by one of three clocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

Call = Callable[[], Any]

CALLS = 16
"""At most so many in one turn; a device's queue holds about a thousand launches."""


class Turn(Protocol):
    """Returns seconds per call."""

    repeat: int

    def settle(self) -> None:
        """Warm up, and find out how many calls make a turn that can be timed."""

    def __call__(self) -> float: ...

    def notes(self) -> dict[str, Any]:
        """What has to be known to judge the figure."""


class WallTurn:
    """The host's clock, with a synchronisation at both ends.

    Args:
        call: What is timed.
        once: One call per turn, because something has to be prepared before each.
        synchronize: Waits for the device.
    """

    LENGTH = 4e-3

    def __init__(self, call: Call, once: bool, synchronize: Call) -> None:
        self.repeat = 1
        self._call, self._once, self._synchronize = call, once, synchronize

    def settle(self) -> None:
        for _ in range(3):
            seconds = self()
        if not self._once:
            self.repeat = _calls(self.LENGTH, seconds)

    def __call__(self) -> float:
        self._synchronize()
        start = time.perf_counter()
        for _ in range(self.repeat):
            self._call()
        self._synchronize()
        return (time.perf_counter() - start) / self.repeat

    def notes(self) -> dict[str, Any]:
        return {"calls": self.repeat}


class HostTurn:
    """The time until a call returns, without what the device makes of it: it is idle before every call."""

    def __init__(self, call: Call, once: bool, synchronize: Call) -> None:
        self.repeat = 1 if once else 5
        self._call, self._synchronize = call, synchronize

    def settle(self) -> None:
        for _ in range(3):
            self()

    def __call__(self) -> float:
        seconds = 0.0
        for _ in range(self.repeat):
            self._synchronize()
            start = time.perf_counter()
            self._call()
            seconds += time.perf_counter() - start
        self._synchronize()
        return seconds / self.repeat

    def notes(self) -> dict[str, Any]:
        return {"calls": self.repeat}


class KernelTurn:
    """Device time between two events, behind a kernel that spins until the host has issued everything.

    Whether the spinning was long enough is checked after each turn: the first event must still be ahead of the device
    when the last call has been issued. If it was not, the turn is repeated with a longer lead, then with fewer calls.
    A peer that issues more than the queue holds, or waits for the device, cannot be timed so; its figure then contains
    what the host made it wait for, and says so.

    Args:
        call: What is timed.
        once: One call per turn, because something has to be prepared before each.
        synchronize: Waits for the device.
        spin: Keeps the device busy for so many seconds.
        event: Makes an event that can be recorded, queried, waited for and compared with another.
    """

    LENGTH = 2e-3
    FIRST_LEAD, LONGEST_LEAD = 1e-3, 0.128
    LONGEST_TURN = 20e-3

    def __init__(
        self, call: Call, once: bool, synchronize: Call, spin: Callable[[float], Any], event: Callable[[], Any]
    ) -> None:
        self.repeat = 1
        self.lead = self.FIRST_LEAD
        self.paced_by_host = False
        self._call, self._once, self._synchronize, self._spin = call, once, synchronize, spin
        self._start, self._end = event(), event()

    def settle(self) -> None:
        for _ in range(3):
            seconds = self()
        if not (self._once or self.paced_by_host):
            self.repeat = min(_calls(self.LENGTH, seconds), max(1, int(self.LONGEST_TURN / self.lead)))
            self()

    def __call__(self) -> float:
        while True:
            seconds, ahead = self._attempt()
            if ahead or self.paced_by_host:
                return seconds
            if self.lead < self.LONGEST_LEAD:
                self.lead = min(2 * self.lead, self.LONGEST_LEAD)
            elif self.repeat > 1:
                self.repeat //= 2
            else:
                self.lead, self.paced_by_host = 0.0, True

    def _attempt(self) -> tuple[float, bool]:
        """Seconds per call, and whether the host was ahead all the time."""
        self._synchronize()
        if self.lead:
            self._spin(self.lead)
        self._start.record()
        for _ in range(self.repeat):
            self._call()
        self._end.record()
        ahead = not self._start.query()
        self._end.synchronize()
        return self._start.elapsed_time(self._end) / 1e3 / self.repeat, ahead

    def notes(self) -> dict[str, Any]:
        return {"calls": self.repeat, "paced_by_host": self.paced_by_host}


def _calls(length: float, seconds: float) -> int:
    """How many calls make a turn of this length."""
    return max(1, min(CALLS, int(length / seconds))) if seconds > 0 else CALLS
