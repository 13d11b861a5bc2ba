"""A metric that never arrives: said once, at the update where what waits for it would first have mattered."""

import math
import sys
import warnings
from array import array
from collections.abc import Iterable

from lrdsl.optim.agreement import n_processes
from lrdsl.optim.binding import Units
from lrdsl.optim.neighbours import GRAD_NORM
from lrdsl.optim.ownership import Binding
from lrdsl.schedule import Schedule
from lrdsl.track import Track

NEVER = 2**53
LONGEST = 1000
"""Updates to wait where nobody says how long an epoch is: reports may come once in each, and a run may be shorter."""


class Silence:
    """Watches over the metrics that schedules listen to.

    Attributes:
        due: The next update at which to `tell`.

    Args:
        units: Whose ``steps_per_epoch`` is how rarely a report is expected; without it ``LONGEST`` is.
        owner: What users call the one that metrics are reported to.
    """

    def __init__(self, units: Units, owner: str) -> None:
        self.due = NEVER
        self._units = units
        self._owner = owner
        self._waits: list[tuple[int, str, Binding]] = []
        self._said: set[str] = set()

    def listen(self, bindings: Iterable[Binding | None], clock: int) -> None:
        """Watch over these schedules from update ``clock`` on. What was said is not said again."""
        bound = [binding for binding in bindings if binding]
        settled = {GRAD_NORM, *self._said} | {m for b in bound for m in b.schedule.metrics if b.schedule.has_heard(m)}
        waits: dict[str, tuple[int, str, Binding]] = {}
        for binding in bound:
            for metric in binding.schedule.metrics:
                if metric in settled or metric in waits:
                    continue
                when = self._deadline(binding.schedule, metric, clock - binding.origin)
                waits[metric] = when + binding.origin, metric, binding
        self._waits = sorted(waits.values(), key=lambda wait: wait[0])
        self.due = self._waits[0][0] if self._waits else NEVER

    def tell(self, clock: int) -> None:
        """Warn of every metric that should have arrived before update ``clock``, and has not."""
        while clock >= self.due:
            _, metric, binding = self._waits.pop(0)
            self.due = self._waits[0][0] if self._waits else NEVER
            if binding.schedule.has_heard(metric):
                continue
            self._said.add(metric)
            call = f"{self._owner}.observe(value)" if metric == "loss" else f'{self._owner}.observe(value, "{metric}")'
            everywhere = " in every process" if n_processes() > 1 else ""
            warnings.warn(
                f"no `{metric}` was reported before update {clock}, so {_listeners(binding.schedule, metric)} could "
                f"do nothing: report it with {call}{everywhere}, or drop what waits for it",
                RuntimeWarning,
                stacklevel=_callers_level(),
            )

    def _deadline(self, schedule: Schedule, metric: str, now: int) -> int:
        """The step where `metric` would first have mattered; ``NEVER`` if it does not matter."""
        found = [_reports(track, metric, now) for track in schedule.tracks.values() if metric in track.program.metrics]
        begin, reports = min(found, key=sum)
        if reports == NEVER:
            return NEVER
        if self._units.steps_per_epoch is not None:
            return begin + math.ceil(reports * self._units.steps_per_epoch)
        total, length = self._units.total_steps, schedule.length
        end = total if total is not None else min(length, NEVER)
        return int(max(begin + reports, min(begin + LONGEST, end - 1)))


def _reports(track: Track, metric: str, now: int) -> tuple[int, int]:
    """Where reports begin to count, and after how many of them the value first changes: all alike, or the last bad."""
    program, run = track.program, track.evaluator
    machines = [m for m in program.machines if program.metrics[m.metric] == metric and m.end > now]
    if not machines:
        return now, NEVER
    begin = max(now, min(m.begin for m in machines), 0)
    silent, heard = array("d", program.state), array("d", program.state)
    for reports in range(1, LONGEST + 1):
        step = begin + reports
        bad = array("d", heard)
        run.observe(metric, math.nan, step, bad)
        run.observe(metric, 1.0, step, heard)
        if any(run.value(step, state) != run.value(step, silent) for state in (heard, bad)):
            return begin, reports
    return begin, NEVER if all(step >= m.end for m in machines) else LONGEST


def _callers_level() -> int:
    """``stacklevel`` of the code that called into this library, seen from the function that asks."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in ("lrdsl", "torch"):
        level, frame = level + 1, frame.f_back
    return level


def _listeners(schedule: Schedule, metric: str) -> str:
    """The modifiers that wait for a metric."""
    programs = [track.program for track in schedule.tracks.values()]
    slots = [p.slots[m.slot] for p in programs for m in p.machines if p.metrics[m.metric] == metric]
    return " and ".join(f"`{name}`" for name in dict.fromkeys(slot.split(".")[0] for slot in slots))
