"""Shapes that several rows are held against, in plain Python."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi


def hat(t: int, up: int, down: int) -> float:
    """A triangle of height 1 that starts at 0."""
    x = t % (up + down)
    return x / up if x <= up else (up + down - x) / down


def half_cosine(u: float, start: float, end: float) -> float:
    """From one rate to the other."""
    return end + (start - end) * (1 + cos(pi * u)) / 2


def pieces(*rows: tuple[float, Callable[[float], float]]) -> Callable[[int], float]:
    """Formulas one after another, each with the step it ends before; each is given its local time."""

    def value(t: int) -> float:
        begin: float = 0
        for end, formula in rows:
            if t < end:
                return formula(t - begin)
            begin = end
        return rows[-1][1](rows[-1][0] - (rows[-2][0] if len(rows) > 1 else 0))

    return value


def some(last: int, count: int = 400) -> list[int]:
    """Steps from 0 to ``last``, evenly, both included."""
    return sorted({last * i // count for i in range(count + 1)})
