"""Notes about the schedule of a target as a whole."""

import math
from array import array
from collections.abc import Iterator

from lrdsl.checks import places
from lrdsl.errors import Note
from lrdsl.language.values import roughly
from lrdsl.notes.start import above_zero
from lrdsl.syntax.tree import Call
from lrdsl.track import SegmentRow, Track

JUMP = 0.01
"""A relative jump at a boundary that is worth a note."""
PEAK = 10
"""Multiples of the base above which a peak is worth a note."""


def notes(name: str, track: Track, base: float | None, total: int | None) -> Iterator[Note]:
    """N0701, N0702, N0705 and N0708."""
    if total is not None and 0 < track.length < math.inf and track.length != total:
        whose, what = ("the schedule", "rate") if name == "lr" else (f"`{name}`", "value")
        more = f"holds its last {what}" if track.length < total else "is cut short"
        yield Note("N0701", f"{whose} has {int(track.length)} steps, the run {total}: it {more}")
    rows = track.segments(array("d", track.program.state))
    for row in rows:
        if abs(row.jump) > JUMP and row.begin < (total or math.inf):
            yield Note("N0702", f"`{name}` jumps to {row.first:g} at step {row.begin} ({row.change})", row.span)
    yield from _peak(name, track, rows, base, total)
    if total is not None:
        yield from _never_reached(track, total)


def _peak(
    name: str, track: Track, rows: tuple[SegmentRow, ...], base: float | None, total: int | None
) -> Iterator[Note]:
    """N0705: nearly always an absolute rate that was meant as a share of base."""
    if not base:
        return
    steps = [step for step in places(track, total) if total is None or step < total]
    values = track.evaluator.values(array("q", steps), array("d", track.program.state))
    peak, step = max((float(value), -step) for step, value in zip(steps, values, strict=True))
    step = -step
    if peak > PEAK * base * (1 + 1e-9):
        # What ends at the peak has reached it; what begins there only if nothing has brought it there.
        span = next((row.span for row in rows if row.end == step and row.out == peak), None)
        span = span or next((row.span for row in rows if row.begin <= step < row.end), rows[-1].span)
        times = f"{roughly(peak / base)} times its base of {base:g}"
        yield Note("N0705", f"`{name}` reaches {peak:g} at step {step}: {times}", span)


def _never_reached(track: Track, total: int) -> Iterator[Note]:
    """N0708, for the first segment that the run does not reach; a `hold` after the end says what happens anyway."""
    for piece in track.lowered.stretch.pieces:
        name = f"`{piece.origin.function}`" if isinstance(piece.origin, Call) else "this"
        if piece.begin >= total and name != "`hold`":
            message = f"{name} begins at step {piece.begin} and is never reached: the run has {total} steps"
            yield Note("N0708", message, piece.origin.span)
            return


def starts_at_zero(track: Track) -> Iterator[Note]:
    """N0704, for a learning rate that starts at 0 and rises; one that stays at 0 is meant to."""
    state = array("d", track.program.state)
    if track.evaluator.value(0, state) == 0 < track.evaluator.value(1, state):
        first = track.lowered.stretch.pieces[0].origin
        yield Note("N0704", "update 0 has learning rate 0: it moves nothing", first.span, above_zero(first, track))
