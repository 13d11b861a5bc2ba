"""How a jump is drawn, whoever draws it: the rate stays as it is until the next update has another."""

from __future__ import annotations

from collections.abc import Container, Sequence
from itertools import pairwise

VISIBLE, JUMP = 0.75, 3.0  # how far steps lie apart, and values differ, where a jump is worth a corner

Place = tuple[float, float]


def with_corners(points: Sequence[Place], step: float, jumps: Container[float]) -> list[Place]:
    """The line through ``points``, level up to each jump and then upright.

    Only where steps lie visibly apart: elsewhere a jump is upright as it is. Those between segments are known. Inside a
    segment (`step`, `cycle`) a jump is a step that is far steeper than both its neighbours, or goes against them.

    Args:
        points: Where the values lie, from left to right.
        step: How far one step lies from the next.
        jumps: The x of the steps known to begin with a jump.
    """
    if step < VISIBLE or len(points) < 2:
        return list(points)
    drawn, before = list(points[:1]), 0.0
    slopes = [(w - v) / (b - a) for (a, v), (b, w) in pairwise(points)]
    for (x, y), slope, after in zip(points[1:], slopes, [*slopes[1:], 0.0], strict=True):
        last_x, last_y = drawn[-1]
        steep = max(abs(before), abs(after))
        found = x in jumps or abs(slope) > 3 * steep or (abs(slope) > steep and slope * before < 0 > slope * after)
        jumped = found and x - last_x < 1.5 * step and abs(y - last_y) > JUMP
        if jumped:
            drawn.append((x, last_y))
        drawn.append((x, y))
        before = 0.0 if jumped else slope
    return drawn
