"""How a jump is drawn, whoever draws it: the rate stays as it is until the next update has another."""

from __future__ import annotations

from collections.abc import Container, Sequence
from itertools import pairwise

VISIBLE, JUMP = 0.75, 3.0  # how far steps lie apart, and values differ, where a jump is worth a corner

Place = tuple[float, float]


def with_corners(points: Sequence[Place], step: float, jumps: Container[float]) -> list[Place]:
    """The line through ``points``, level up to each jump and then upright.

    Only where steps lie visibly apart: elsewhere a jump is upright as it is. Those between segments are known. Inside a
    segment (`step`, `cycle`) a jump is a step that is far steeper than what leads to it and away from it in the same
    direction.

    Args:
        points: Where the values lie, from left to right.
        step: How far one step lies from the next.
        jumps: The x of the steps known to begin with a jump.
    """
    if step < VISIBLE or len(points) < 2:
        return list(points)
    slopes = [(w - v) / (b - a) for (a, v), (b, w) in pairwise(points)]
    drawn = list(points[:1])
    before: float | None = None
    for (x, y), slope, after in zip(points[1:], slopes, [*slopes[1:], None], strict=True):
        last_x, last_y = drawn[-1]
        found = x in jumps or abs(slope) > 3 * _steepness(slope, before, after)
        jumped = found and x - last_x < 1.5 * step and abs(y - last_y) > JUMP
        if jumped:
            drawn.append((x, last_y))
        drawn.append((x, y))
        before = 0.0 if jumped else slope
    return drawn


def _steepness(slope: float, before: float | None, after: float | None) -> float:
    """That of the steeper neighbour which goes the same way; at an end of the line, of the one there is."""
    if before is None or after is None:
        return abs(before or after or 0.0)
    return max(abs(other) if other * slope > 0 else 0.0 for other in (before, after))
