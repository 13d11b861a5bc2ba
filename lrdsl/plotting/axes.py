"""Axes shared by all writers: their range, round ticks, and how numbers are written on them."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrdsl.plotting.curve import Curve, Unit

LARGEST = sys.float_info.max
RARE = 0.005  # the share of steps whose tiny rates, just before or after a 0, a log axis need not show


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: a range, the values marked on it and what is written there."""

    low: float
    high: float
    ticks: tuple[float, ...]
    labels: tuple[str, ...]
    title: str
    log: bool = False

    def place(self, value: float) -> float:
        """Where ``value`` lies: 0 at `low`, 1 at `high`. Values outside stay at the border."""
        if value <= self.low:
            return 0.0
        if self.log:
            return min(1.0, (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low)))
        half = 0.5 if math.isinf(self.high - self.low) else 1.0
        return min(1.0, (half * value - half * self.low) / (half * self.high - half * self.low))


def of(curves: Sequence[Curve], *, log: bool = False, x_ticks: int = 8, y_ticks: int = 6) -> tuple[Axis, Axis]:
    """The axes on which all ``curves`` fit; about as many ticks as asked for."""
    begin, end = min(c.steps[0] for c in curves), max(c.steps[-1] for c in curves)
    values = [v for c in curves for v in c.values if math.isfinite(v)] or [0.0]
    titles = dict.fromkeys(c.title for c in curves)
    title = " / ".join(titles)
    y_axis = _log_axis(_floor(curves), max(values), title, y_ticks) if log else _linear_axis(values, title, y_ticks)
    units = {c.unit for c in curves}
    return _step_axis(begin, max(end, begin + 1), x_ticks, units.pop() if len(units) == 1 else None), y_axis


def of_metric(values: Iterable[float], title: str, ticks: int = 3) -> Axis:
    """The axis of a metric's panel."""
    return _linear_axis([v for v in values if math.isfinite(v)] or [0.0], title, ticks)


def rate(value: float, digits: int = 4) -> str:
    """A rate as people write it: ``1e-3``, ``7.5e-4``, ``0.1``."""
    if value == 0 or not math.isfinite(value) or 1e-2 <= abs(value) < 1e4:
        return f"{value + 0.0:.{digits}g}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def steps(value: float) -> str:
    """A number of steps: ``500``, ``2.5k``, ``1M``."""
    for size, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.6g}{suffix}"
    return f"{value:.6g}"


def _step_axis(begin: int, end: int, count: int, unit: Unit | None) -> Axis:
    """Marks at round numbers of steps, or of what the text counts in."""
    size = unit.steps if unit is not None else 1.0
    apart = _round_step((end - begin) / size, count)
    if apart == 2.5 or (unit is None and apart < 1):  # as there is no half of a step
        apart = 5.0 if apart > 1 else 1.0
    marks = _multiples(begin / size, end / size, apart)
    title = "step"
    if unit is not None:
        of = f"{_count(size)} steps each" if size >= 1 else f"{_count(1 / size)} per step"
        title = f"{unit.name} ({of})"
    return Axis(begin, end, tuple(mark * size for mark in marks), tuple(map(steps, marks)), title)


def _count(value: float) -> str:
    return f"{value:,.6g}" if value < 1e5 else steps(value)


def _linear_axis(values: Iterable[float], title: str, count: int) -> Axis:
    low, high = min(values), max(values)
    if low == high:
        low, high = min(low, 0.0), max(high, 0.0) or 1.0
    margin = 0.04 * high - 0.04 * low
    if 0 <= low <= 0.6 * high:
        low = 0.0
    elif low != 0:
        low = max(low - margin, -LARGEST)
    high = min(high + margin, LARGEST)
    ticks = tuple(_ticks(low, high, count))
    plain = max(map(abs, ticks)) >= 1e-2
    labels = tuple(f"{t:.6g}" if plain and abs(t) < 1e4 else rate(t) for t in ticks)
    return Axis(low, high, ticks, labels, title)


def _floor(curves: Iterable[Curve]) -> float:
    """Where a log axis begins: at the lowest rate, or above the ones that are far lower and few."""
    pieces = sorted(
        (min(v, w), (end - begin) / (curve.steps[-1] - curve.steps[0]))
        for curve in curves
        for (begin, v), (end, w) in pairwise(zip(curve.steps, curve.values, strict=True))
        if 0 < min(v, w) < math.inf
    )
    if not pieces:
        return 0.0
    passed = accumulate(share for _, share in pieces)
    common = next((v for (v, _), share in zip(pieces, passed, strict=True) if share > RARE), pieces[-1][0])
    return pieces[0][0] if pieces[0][0] * 30 > common else common


def _log_axis(low: float, high: float, title: str, count: int) -> Axis:
    if not 0 < low <= high:
        low = high = high if high > 0 else 1.0
    low, high = low / 1.15, min(high * 1.15, LARGEST)
    high = max(high, math.nextafter(low, math.inf))  # among the smallest doubles 1.15 times one is the same one
    if high / low < 10:
        ticks = [t for t in _ticks(low, high, count) if t > 0]
    else:
        first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
        mantissas = (1, 2, 5) if last - first < 2 else (1,)
        every = max(1, math.ceil((last - first) / count))
        grid = [float(f"{m}e{e}") for e in range(first - 1, last + 1) for m in mantissas if (e - last) % every == 0]
        ticks = [t for t in grid if low <= t <= high]
    return Axis(low, high, tuple(ticks), tuple(map(rate, ticks)), title, log=True)


def _ticks(low: float, high: float, count: int) -> list[float]:
    """Round values inside the range; the end of one that is too narrow, or too wide, for doubles to cut up."""
    span = high - low
    return _multiples(low, high, _round_step(span, count)) if 0 < span / count < math.inf else [high]


def _round_step(span: float, count: int) -> float:
    """The smallest 1, 2, 2.5 or 5 times a power of ten that cuts ``span`` into at most ``count`` pieces."""
    power = math.floor(math.log10(span / count))
    return next(s for m in ("1", "2", "2.5", "5", "10") if (s := float(f"{m}e{power}")) * count >= span * (1 - 1e-9))


def _multiples(low: float, high: float, step: float) -> list[float]:
    """The multiples of ``step`` inside the range, each the double nearest to its decimal."""
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") + 0.0 for k in range(first, last + 1)]
