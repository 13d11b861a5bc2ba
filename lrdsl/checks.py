"""Sampled values: what must hold of a schedule before it runs.

Formulas may be anything, so their values are looked at where they are likeliest to go
wrong: around every boundary and at 65 places along the run.
"""

import math
from array import array
from typing import TYPE_CHECKING

from lrdsl.errors import ScheduleError, Span
from lrdsl.program.program import FOREVER

if TYPE_CHECKING:
    from lrdsl.track import Track


def sample(track: "Track", target: str, total: int | None, span: Span) -> None:
    """E0609–E0611: values that are negative, not finite, or (betas) not below 1."""
    steps = places(track, total)
    values = track.values(steps)
    for step, value in zip(steps, values, strict=True):
        if not math.isfinite(value):
            raise ScheduleError("E0610", f"`{target}` is not a finite number at step {step}", span)
        if value < 0:
            raise ScheduleError("E0609", f"`{target}` is negative ({value:g}) at step {step}", span, "max(..., 0)")
        if target in ("beta1", "beta2") and value >= 1:
            raise ScheduleError("E0611", f"`{target}` must stay below 1, got {value:g} at step {step}", span)


def places(track: "Track", total: int | None) -> "array[int]":
    """Steps worth a look: around every boundary, and 65 along the run."""
    stretch = track.lowered.stretch
    edges = {edge for piece in stretch.pieces for edge in (piece.begin, piece.end, *piece.marks)} - {FOREVER}
    edges |= {edge - 1 for edge in edges if edge > 0}
    last = max(edges, default=0)
    horizon = max(total or 0, last + 1000) if stretch.endless else stretch.end
    return array("q", sorted(edges | {i * horizon // 64 for i in range(65)}))
