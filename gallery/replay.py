"""The metric-driven modifiers once more, as plain loops over reports: the simplest thing that can be right.

Each takes the reports, one before each update from the first on, and the base; it gives the rate after each report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, isfinite, nan

Rule = Callable[[Sequence[float], float], list[float]]


def plateau(patience: int = 10, factor: float = 0.1, cooldown: int = 0, least: float = 0.0) -> Rule:
    """``mode="min"``, a relative threshold of 1e-4."""

    def run(reports: Sequence[float], base: float) -> list[float]:
        rates, best, bad, cool, rate = [], inf, 0, 0, base
        for y in reports:
            if y < best * (1 - 1e-4) or best == inf:
                best, bad = y, 0
            else:
                bad += 1
            if cool:
                cool, bad = cool - 1, 0
            if bad > patience:
                rate, bad, cool = max(rate * factor, least), 0, cooldown
            rates.append(rate)
        return rates

    return run


def guard(spike: float | None = None, factor: float = 0.5, recover: float | None = 1000, window: int = 100) -> Rule:
    """A cut at every spike and every report that is no number, healing over ``recover`` updates; never if None."""

    def run(reports: Sequence[float], base: float) -> list[float]:
        rates, cut, when, mean, count = [], 1.0, 0, nan, 0
        for step, y in enumerate(reports, 1):
            healed = min(1.0, (step - when) / recover) if recover else 0.0
            spiked = spike is not None and count > 0 and y > mean + (spike - 1) * abs(mean)
            if spiked or not isfinite(y):
                cut, when, healed = cut ** (1 - healed) * factor, step, 0.0
            else:
                count += 1
                mean = y if count == 1 else mean + (y - mean) / min(count, window)
            rates.append(base * cut ** (1 - healed))
        return rates

    return run


def normscale(target: float) -> Rule:
    """Never above ``target / y``."""
    return lambda reports, base: [base * min(1.0, target / y) for y in reports]
