"""What to draw of a schedule, whatever draws it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrdsl.plotting.sampling import sample

if TYPE_CHECKING:
    from lrdsl.schedule import Schedule

LEAST = 1000  # steps drawn of an endless schedule

_TITLES = {"lr": "learning rate", "weight_decay": "weight decay"}


@dataclass(frozen=True, slots=True)
class Part:
    """A segment as drawn: the steps it owns that are in the picture, and its text."""

    begin: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a plot."""

    text: str
    title: str  # of the axis it belongs to
    steps: tuple[int, ...]
    values: tuple[float, ...]  # at `steps`, exactly; straight lines between them are off by less than a pixel
    parts: tuple[Part, ...]
    note: str = ""  # for the legend

    @property
    def named(self) -> tuple[Part, ...]:
        """The segments whose names say something that the text as a whole does not."""
        return self.parts if len(self.parts) > 1 else ()

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
) -> Curve:
    """The curve of one target of a schedule, at its present state.

    Args:
        schedule: A compiled schedule.
        target: Default: see `subject`.
        group: Of which parameter group. Default: see `subject`.
        begin: The first step drawn.
        end: The last step drawn. Default: `extent`.
        relative: The base is 1 for want of a better one, so values are multiples of base.
        log: The points will be drawn on a log axis, where others are needed.

    Raises:
        ScheduleError: The text does not schedule that target.
    """
    target, group = subject(schedule, target, group)
    rows = schedule.segments(target, group)
    end = max(begin + 1, extent(schedule, target, group) if end is None else end)
    parts = tuple(
        Part(max(row.begin, begin), int(min(row.end, end)), row.label)
        for row in rows
        if row.begin < row.end and row.begin < end and begin < row.end
    )
    marks = [step for part in parts for step in (part.begin, part.end)]
    points = sample(lambda step: schedule.value(target, step, group), begin, end, marks, log=log)
    metrics = " and ".join(schedule.metrics)
    return Curve(
        text=str(schedule),
        title=_TITLES.get(target, target) + (f" of {group}" if group is not None else "") + " (× base)" * relative,
        steps=tuple(step for step, _ in points),
        values=tuple(value for _, value in points),
        parts=parts,
        note=f"cuts depend on the observed {metrics}" if metrics else "",
    )


def subject(schedule: Schedule, target: str | None, group: str | int | None) -> tuple[str, str | int | None]:
    """What to draw unless asked for: ``lr``, else the first target; of all groups, else of the first."""
    if target is None:
        target = "lr" if "lr" in schedule.targets else schedule.targets[0]
    if group is None and (target, None) not in schedule.tracks:
        group = next((g for t, g in schedule.tracks if t == target), None)
    return target, group


def extent(schedule: Schedule, target: str | None = None, group: str | int | None = None) -> int:
    """The last step worth drawing: the total; else where the schedule ends; else twice its finite part."""
    if total := schedule.context.get("total_steps"):
        return int(total)
    last = schedule.segments(*subject(schedule, target, group))[-1]
    return int(last.end) if math.isfinite(last.end) else max(LEAST, 2 * last.begin)
