"""Which steps of a schedule to draw: few, and none that matters left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from random import Random

GRID = 512  # pieces looked at before refining
BUDGET = 4096  # evaluations; more are needed only where the schedule swings faster than a plot can show
TOLERANCE = 3e-4  # of the height of the plot: a tenth of a pixel
COLUMNS, PROBES = 320, 24

Point = tuple[int, float]


def sample(
    value: Callable[[int], float], begin: int, end: int, marks: Iterable[int] = (), *, log: bool = False
) -> list[Point]:
    """Points between which straight lines tell the truth about ``value`` on ``[begin, end]``.

    Every mark and the step before it are among them, so a jump there is drawn as a jump. Jumps elsewhere are found by
    bisection. A schedule that swings too fast is drawn as the band it fills.
    """
    kept = {begin, end, *(s for m in marks for s in (m - 1, m) if begin <= s <= end)}
    grid = kept | {begin + i * (end - begin) // GRID for i in range(GRID + 1)}
    found = {s: value(s) for s in grid}
    scale = _scale(found.values(), log)
    pending = list(pairwise(sorted(found)))
    while pending and len(found) < BUDGET:
        split: list[tuple[int, int]] = []
        for a, b in pending:
            middle = (a + b) // 2
            if middle == a:
                continue
            found[middle] = value(middle)
            if _deviation((a, found[a]), (middle, found[middle]), (b, found[b]), scale) > TOLERANCE:
                split += (a, middle), (middle, b)
        pending = split
    if pending:
        return _band(value, begin, end, {s: found[s] for s in kept})
    points = sorted(found.items())
    for (a, v), (b, w) in pairwise(points):
        if math.isfinite(v) != math.isfinite(w):
            kept |= {a, b}
    return _thin(points, kept, scale)


def _scale(values: Iterable[float], log: bool) -> Callable[[float], float]:
    """Rate to height in the plot, in units of its whole height."""
    finite = [v for v in values if math.isfinite(v)] or [0.0]
    low, high = min(finite), max(finite)
    if not log:
        return lambda v: v / ((high - low) or 1.0)
    top = high if high > 0 else 1.0
    positive = sorted(v for v in finite if v > 0) or [top]
    common = positive[len(positive) // 200]  # as on the axis: a few far lower values next to a 0 do not count
    floor = positive[0] if positive[0] * 30 > common else common
    height = math.log(top / floor) or 1.0
    return lambda v: math.log(v / floor) / height if v > floor else 0.0


def _deviation(left: Point, middle: Point, right: Point, scale: Callable[[float], float]) -> float:
    """How far ``middle`` lies from the line between its neighbours; infinite where some are not numbers."""
    heights = scale(left[1]), scale(middle[1]), scale(right[1])
    known = [math.isfinite(h) for h in heights]
    if not all(known):
        return 0.0 if not any(known) else math.inf
    share = (middle[0] - left[0]) / (right[0] - left[0])
    return abs(heights[1] - heights[0] - share * (heights[2] - heights[0]))


def _thin(points: list[Point], kept: set[int], scale: Callable[[float], float]) -> list[Point]:
    """Leave out what lies on the lines between the others (Ramer 1972; Douglas and Peucker 1973)."""
    keep = [i for i, (step, _) in enumerate(points) if step in kept]
    chosen, pending = set(keep), list(pairwise(keep))
    while pending:
        a, b = pending.pop()
        if b - a < 2:
            continue
        worst, far = max((_deviation(points[a], points[i], points[b], scale), i) for i in range(a + 1, b))
        if worst > TOLERANCE / 2:
            chosen.add(far)
            pending += (a, far), (far, b)
    return [points[i] for i in sorted(chosen)]


def _band(value: Callable[[int], float], begin: int, end: int, kept: dict[int, float]) -> list[Point]:
    """The lowest and highest of a few values per column, at random steps: regular ones would beat with the schedule."""
    draw, chosen, width = Random(0), dict(kept), (end - begin) / COLUMNS
    for column in range(COLUMNS):
        probes = {begin + int((column + draw.random()) * width) for _ in range(PROBES)}
        found = sorted((value(s), s) for s in probes)
        chosen.update((s, v) for v, s in (found[0], found[-1]))
    return sorted(chosen.items())
