"""Axes shared by all writers: their range, round ticks, and how numbers are written on them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrdsl.plotting.curve import Curve

DECADES = 8  # what a log axis shows at most: below it lie the last few steps before a 0


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
            return min(1.0, math.log(value / self.low) / math.log(self.high / self.low))
        return min(1.0, (value - self.low) / (self.high - self.low))


def of(curves: Sequence[Curve], *, log: bool = False, x_ticks: int = 8, y_ticks: int = 6) -> tuple[Axis, Axis]:
    """The axes on which all ``curves`` fit; about as many ticks as asked for."""
    begin, end = min(c.steps[0] for c in curves), max(c.steps[-1] for c in curves)
    values = [v for c in curves for v in c.values if math.isfinite(v)] or [0.0]
    titles = dict.fromkeys(c.title for c in curves)
    title = " / ".join(titles)
    return _step_axis(begin, max(end, begin + 1), x_ticks), (_log_axis if log else _linear_axis)(values, title, y_ticks)


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


def _step_axis(begin: int, end: int, count: int) -> Axis:
    ticks = tuple(_multiples(begin, end, max(1.0, _round_step(end - begin, count))))
    return Axis(begin, end, ticks, tuple(map(steps, ticks)), "step")


def _linear_axis(values: Iterable[float], title: str, count: int) -> Axis:
    low, high = min(values), max(values)
    if low == high:
        low, high = min(low, 0.0), max(high, 0.0) or 1.0
    margin = 0.04 * (high - low)
    if 0 <= low <= 0.6 * high:
        low = 0.0
    elif low != 0:
        low -= margin
    high += margin
    ticks = tuple(_multiples(low, high, _round_step(high - low, count)))
    plain = max(map(abs, ticks)) >= 1e-2
    labels = tuple(f"{t:.6g}" if plain and abs(t) < 1e4 else rate(t) for t in ticks)
    return Axis(low, high, ticks, labels, title)


def _log_axis(values: Iterable[float], title: str, count: int) -> Axis:
    positive = [v for v in values if v > 0] or [1.0]
    high = max(positive)
    low = max(min(positive), high * 10.0**-DECADES)
    low, high = low / 1.15, high * 1.15
    if high / low < 10:
        ticks = [t for t in _multiples(low, high, _round_step(high - low, count)) if t > 0]
    else:
        first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
        mantissas = (1, 2, 5) if last - first < 2 else (1,)
        every = max(1, math.ceil((last - first) / count))
        grid = [float(f"{m}e{e}") for e in range(first - 1, last + 1) for m in mantissas if (e - last) % every == 0]
        ticks = [t for t in grid if low <= t <= high]
    return Axis(low, high, tuple(ticks), tuple(map(rate, ticks)), title, log=True)


def _round_step(span: float, count: int) -> float:
    """The smallest 1, 2, 2.5 or 5 times a power of ten that cuts ``span`` into at most ``count`` pieces."""
    power = math.floor(math.log10(span / count))
    return next(s for m in ("1", "2", "2.5", "5", "10") if (s := float(f"{m}e{power}")) * count >= span * (1 - 1e-9))


def _multiples(low: float, high: float, step: float) -> list[float]:
    """The multiples of ``step`` inside the range, each the double nearest to its decimal."""
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") + 0.0 for k in range(first, last + 1)]
