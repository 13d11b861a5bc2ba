"""What to draw of a schedule, whatever draws it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from lrdsl.plotting import style
from lrdsl.plotting.sampling import sample
from lrdsl.plotting.trace import Report, Trace

if TYPE_CHECKING:
    from lrdsl.schedule import Schedule
    from lrdsl.track import SegmentRow

LEAST = 1000  # steps drawn of an endless schedule

_TITLES = {"lr": "learning rate", "weight_decay": "weight decay"}
MARKED = 40  # steps where reports moved the rate that are worth a line each; more are a curve of their own

_UNITS = (
    ("ep", "epoch", "steps_per_epoch"),
    ("tok", "tokens", "tokens_per_step"),
    ("smp", "samples", "samples_per_step"),
)


@dataclass(frozen=True, slots=True)
class Part:
    """A segment as drawn: the steps it owns that are in the picture, and its text."""

    begin: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Series:
    """What was reported of one metric."""

    metric: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """What the text counts in, if not in steps."""

    name: str
    steps: float  # in one of it


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a plot."""

    text: str
    title: str  # of the axis it belongs to
    steps: tuple[int, ...]
    values: tuple[float, ...]  # at `steps`, exactly; straight lines between them are off by less than a pixel
    parts: tuple[Part, ...]
    note: str = ""  # for the legend
    unit: Unit | None = None  # of the axis of steps
    metrics: tuple[Series, ...] = ()  # that drove it
    moves: tuple[int, ...] = ()  # where they moved the rate, if that is seldom
    jumps: frozenset[int] = frozenset()  # steps known to have another rate than would follow from the one before

    @property
    def named(self) -> tuple[Part, ...]:
        """The segments whose names say something that the text as a whole does not; neighbours of one name are one."""
        runs = [list(run) for _, run in groupby(self.parts, key=lambda part: part.label)]
        return tuple(Part(run[0].begin, run[-1].end, run[0].label) for run in runs) if len(runs) > 1 else ()

    @property
    def boundaries(self) -> tuple[int, ...]:
        """Where one segment ends and the next begins, or the last value is held."""
        inside = {s for part in self.parts for s in (part.begin, part.end)}
        return tuple(sorted(s for s in inside if self.steps[0] < s < self.steps[-1]))


def of(
    schedule: Schedule,
    target: str | None = None,
    group: str | int | None = None,
    *,
    begin: int = 0,
    end: int | None = None,
    relative: bool = False,
    log: bool = False,
    reports: Iterable[Report] | None = None,
) -> Curve:
    """The curve of one target of a schedule, at its present state or as it goes under a list of reports.

    Args:
        schedule: A compiled schedule.
        target: Default: see `subject`.
        group: Of which parameter group. Default: see `subject`.
        begin: The first step drawn.
        end: The last step drawn. Default: `extent`.
        relative: The base is 1 for want of a better one, so values are multiples of base.
        log: The points will be drawn on a log axis, where others are needed.
        reports: What is observed, starting from the first state.

    Raises:
        ScheduleError: The text does not schedule that target.
    """
    target, group = subject(schedule, target, group)
    rows = schedule.segments(target, group)
    end = max(begin + 1, extent(schedule, target, group) if end is None else end)
    parts = tuple(
        Part(max(row.begin, begin), int(min(row.end, end)), style.readable(label))
        for row, label in zip(rows, _labels(rows), strict=True)
        if row.begin < row.end and row.begin < end and begin < row.end
    )
    marks = [step for part in parts for step in (part.begin, part.end)]
    trace = _trace(schedule, target, group, reports)
    moves = [step for step in trace.moved() if begin <= step <= end] if trace is not None else []
    points = sample(value_of(schedule, target, group, reports), begin, end, [*marks, *moves], log=log)
    metrics = " and ".join(schedule.metrics)
    return Curve(
        text=style.readable(str(schedule)),
        title=_TITLES.get(target, target) + (f" of {group}" if group is not None else "") + " (× base)" * relative,
        steps=tuple(step for step, _ in points),
        values=tuple(value for _, value in points),
        parts=parts,
        note=f"cuts depend on the observed {metrics}" if metrics and trace is None else "",
        unit=_unit(schedule),
        metrics=_series(trace.reports, begin, end) if trace is not None else (),
        moves=tuple(moves) if len(moves) <= MARKED else (),
        jumps=frozenset(moves).union(row.begin for row in rows if row.jump),
    )


def _labels(rows: Sequence[SegmentRow]) -> Iterator[str]:
    """A segment's text; where a modifier sets in that was not there before, the modifier's."""
    before: SegmentRow | None = None
    for row in rows:
        new = [text for text in row.modifiers if text not in before.modifiers] if before is not None else []
        yield new[-1] if new and before is not None and before.span == row.span else row.label
        before = row


def value_of(
    schedule: Schedule, target: str, group: str | int | None, reports: Iterable[Report] | None = None
) -> Callable[[int], float]:
    """Step to value: at the schedule's present state, or under a list of reports."""
    trace = _trace(schedule, target, group, reports)
    return trace.value if trace is not None else lambda step: schedule.value(target, step, group)


def _trace(schedule: Schedule, target: str, group: str | int | None, reports: Iterable[Report] | None) -> Trace | None:
    track = schedule.track(target, group)
    return None if reports is None or track is None else Trace(track, reports)


def _unit(schedule: Schedule) -> Unit | None:
    """The one unit in which the text gives durations, if it is just one."""
    text, context = str(schedule), schedule.context
    used = [row for row in _UNITS if re.search(rf"[0-9]{row[0]}\b", text)]
    if len(used) != 1 or not (size := context.get(used[0][2])):
        return None
    (suffix, name, _) = used[0]
    return Unit(name, float(size) if suffix == "ep" else 1 / size)


def _series(reports: Iterable[Report], begin: int, end: int) -> tuple[Series, ...]:
    """The reports inside the picture, by metric."""
    found: dict[str, list[Report]] = {}
    for report in reports:
        if begin <= report.step <= end:
            found.setdefault(report.metric, []).append(report)
    return tuple(
        Series(name, tuple(r.step for r in rows), tuple(r.value for r in rows)) for name, rows in found.items()
    )


def subject(schedule: Schedule, target: str | None, group: str | int | None) -> tuple[str, str | int | None]:
    """What to draw unless asked for: ``lr``, else the first target; of all groups, else of the first."""
    if target is None:
        target = "lr" if "lr" in schedule.targets else schedule.targets[0]
    if group is None and (target, None) not in schedule.tracks:
        group = next((g for t, g in schedule.tracks if t == target), None)
    return target, group


def extent(
    schedule: Schedule,
    target: str | None = None,
    group: str | int | None = None,
    reports: Sequence[Report] | None = None,
) -> int:
    """The last step worth drawing: the total; else where it ends; else the last report; else twice its finite part."""
    if total := schedule.context.get("total_steps"):
        return int(total)
    last = schedule.segments(*subject(schedule, target, group))[-1]
    if math.isfinite(last.end):
        return int(last.end)
    return max(report.step for report in reports) if reports else max(LEAST, 2 * last.begin)
