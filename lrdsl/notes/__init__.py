"""Notes: what is not wrong with a schedule, but worth knowing before it runs."""

from collections.abc import Iterator, Mapping
from fractions import Fraction

from lrdsl.errors import Note, Span
from lrdsl.notes import modifiers, segments, targets
from lrdsl.program.stretch import half_up
from lrdsl.track import Track

__all__ = ["collect"]

Tracks = Mapping[str, tuple[Track, float | None]]
"""Name of a target and group → its schedule and its base."""


def collect(tracks: Tracks, total: int | None, rounded: Mapping[Span, tuple[str, Fraction]]) -> tuple[Note, ...]:
    """The notes about a schedule, in the order of the text; those about no place in it come last.

    Args:
        tracks: Its targets.
        total: Steps of the run, if that is known.
        rounded: Where a number of steps was not whole: its name, and what it was.
    """
    found = dict.fromkeys(_all(tracks, total, rounded))  # what a `let` holds is met at each use
    return tuple(sorted(found, key=lambda note: (note.span is None, note.span or (), note.code)))


def _all(tracks: Tracks, total: int | None, rounded: Mapping[Span, tuple[str, Fraction]]) -> Iterator[Note]:
    for name, (track, base) in tracks.items():
        yield from targets.notes(name, track, base, total)
        for placed in track.lowered.placed:
            yield from segments.notes(name.partition("[")[0], placed, total)
        yield from modifiers.notes(track, total)
        if name.partition("[")[0] == "lr":
            yield from targets.starts_at_zero(track)
    for span, (called, exact) in rounded.items():
        if segments.matters(exact, half_up(exact)):
            yield Note("N0712", f"{called} is {float(exact):.6g} steps, rounded to {half_up(exact)}", span)
