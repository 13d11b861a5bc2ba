"""How a jump is drawn, whoever draws it: the rate stays as it is until the next update has another."""

from __future__ import annotations

import math
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
    drawn, jumped = list(points[:1]), False
    for index, (x, y) in enumerate(points[1:]):
        last_x, last_y = drawn[-1]
        found = x in jumps or abs(slopes[index]) > 3 * _steepness(slopes, index, jumped)
        jumped = found and x - last_x < 1.5 * step and abs(y - last_y) > JUMP
        if jumped:
            drawn.append((x, last_y))
        drawn.append((x, y))
    return drawn


def _steepness(slopes: Sequence[float], index: int, jumped: bool) -> float:
    """That of the steeper neighbour that goes the same way and was no jump; at an end, that of the only neighbour."""
    last = len(slopes) - 1
    if last == 0 or (jumped and index == last):
        return math.inf  # nothing to compare with
    if index in (0, last):
        return abs(slopes[1] if index == 0 else slopes[index - 1])
    neighbours = (0.0 if jumped else slopes[index - 1], slopes[index + 1])
    return max(abs(other) if other * slopes[index] > 0 else 0.0 for other in neighbours)
