"""A schedule as it ran: what its rates were while metrics were reported."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lrdsl.track import Track


class Report(NamedTuple):
    """A metric's value, made before update `step`."""

    step: int
    metric: str
    value: float


class Trace:
    """One target of a schedule, from its first state on, under a list of reports. The schedule itself hears nothing."""

    def __init__(self, track: Track, reports: Iterable[Report]) -> None:
        self._evaluate = track.evaluator.value
        self.reports = sorted((r for r in reports if r.metric in track.program.metrics), key=lambda report: report.step)
        state = array("d", track.program.state)
        self._states = [array("d", state)]
        for step, metric, value in self.reports:
            track.evaluator.observe(metric, value, step, state)
            self._states.append(array("d", state))
        self._steps = [report.step for report in self.reports]

    def value(self, step: int) -> float:
        """The value of update `step`, after the reports made before it."""
        return self._evaluate(step, self._states[bisect_right(self._steps, step)])

    def moved(self) -> list[int]:
        """The steps where reports changed the value."""
        found = dict.fromkeys(self._steps)
        before = {step: index for index, step in reversed(list(enumerate(self._steps)))}
        return [step for step in found if self._evaluate(step, self._states[before[step]]) != self.value(step)]
