"""What can be said about a schedule before it runs: sampled values, and notes.

Formulas may be anything, so their values are looked at where they are likeliest to go
wrong: around every boundary and at 65 places along the run.
"""

import math
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lrdsl.errors import Note, ScheduleError, Span
from lrdsl.program.program import FOREVER

if TYPE_CHECKING:
    from lrdsl.schedule import Schedule
    from lrdsl.track import Track

JUMP = 0.01
"""A relative jump at a boundary that is worth a note."""


def sample(track: "Track", target: str, total: int | None, span: Span) -> None:
    """E0609–E0611: values that are negative, not finite, or (betas) not below 1."""
    steps = _places(track, total)
    values = track.values(steps)
    for step, value in zip(steps, values, strict=True):
        if not math.isfinite(value):
            raise ScheduleError("E0610", f"`{target}` is not a finite number at step {step}", span)
        if value < 0:
            raise ScheduleError("E0609", f"`{target}` is negative ({value:g}) at step {step}", span, "max(..., 0)")
        if target in ("beta1", "beta2") and value >= 1:
            raise ScheduleError("E0611", f"`{target}` must stay below 1, got {value:g} at step {step}", span)


def _places(track: "Track", total: int | None) -> "array[int]":
    stretch = track.lowered.stretch
    edges = {edge for piece in stretch.pieces for edge in (piece.begin, piece.end, *piece.marks)} - {FOREVER}
    edges |= {edge - 1 for edge in edges if edge > 0}
    last = max(edges, default=0)
    horizon = max(total or 0, last + 1000) if stretch.endless else stretch.end
    return array("q", sorted(edges | {i * horizon // 64 for i in range(65)}))


def notes(schedule: "Schedule", total: int | None) -> Iterator[Note]:
    """Notes about a schedule, in the order of their codes."""
    length = schedule.length
    if total is not None and 0 < length < math.inf and length != total:
        more = "holds its last rate" if length < total else "is cut short"
        message = f"the schedule has {int(length)} steps, the run {total}: it {more}"
        yield Note("N0701", message)
    for (target, _), track in schedule.tracks.items():
        for row in track.segments(array("d", track.program.state)):
            if abs(row.jump) > JUMP:
                change = f"{100 * row.jump:+.3g} %" if math.isfinite(row.jump) else "from 0"
                yield Note("N0702", f"`{target}` jumps to {row.first:g} at step {row.begin} ({change})", row.span)
    rate = schedule.track("lr")
    if rate is not None and rate.value(0) == 0:
        yield Note("N0704", "update 0 has learning rate 0: it moves nothing")
    for metric in schedule.metrics:
        yield Note("N0713", f'a modifier waits for `observe(..., "{metric}")`: without reports it does nothing')
