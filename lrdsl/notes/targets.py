"""Notes about the schedule of a target as a whole."""

import math
from array import array
from collections.abc import Iterator, Mapping

from lrdsl.checks import places
from lrdsl.errors import Note
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
            change = f"{100 * row.jump:+.3g} %" if math.isfinite(row.jump) else "from 0"
            yield Note("N0702", f"`{name}` jumps to {row.first:g} at step {row.begin} ({change})", row.span)
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
    if peak > PEAK * base * (1 + 1e-9):
        span = next((row.span for row in rows if row.begin <= -step <= row.end), None)
        times = f"{peak / base:.4g} times its base of {base:g}"
        yield Note("N0705", f"`{name}` reaches {peak:g} at step {-step}: {times}", span)


def _never_reached(track: Track, total: int) -> Iterator[Note]:
    """N0708, for the first segment that the run does not reach; a `hold` after the end says what happens anyway."""
    for piece in track.lowered.stretch.pieces:
        name = f"`{piece.origin.function}`" if isinstance(piece.origin, Call) else "this"
        if piece.begin >= total and name != "`hold`":
            message = f"{name} begins at step {piece.begin} and is never reached: the run has {total} steps"
            yield Note("N0708", message, piece.origin.span)
            return


def starts_at_zero(tracks: Mapping[str, Track]) -> Iterator[Note]:
    """N0704, once for all learning rates that start at 0 and rise; one that stays at 0 is meant to."""
    names = []
    for name, track in tracks.items():
        state = array("d", track.program.state)
        rises = track.evaluator.value(0, state) == 0 < track.evaluator.value(1, state)
        if rises and name.partition("[")[0] == "lr":
            names.append(f"`{name}`")
    if names:
        whose = "" if names == ["`lr`"] else f" of {', '.join(names)}"
        hint = "append `| skip(1)` to leave it out"
        yield Note("N0704", f"update 0{whose} has learning rate 0: it moves nothing", hint=hint)
