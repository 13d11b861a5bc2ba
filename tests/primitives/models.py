"""Metric-driven modifiers in plain Python, written from the specification's words and from nothing else."""

from __future__ import annotations

import math
from typing import Protocol

INF = math.inf


class Model(Protocol):
    """What a modifier does with reports, and to a value."""

    def report(self, y: float, step: int, skipped: bool = False) -> None: ...
    def lr(self, v: float, step: int) -> float: ...


class Guard:
    """Cuts that heal; hears of skipped updates."""

    def __init__(
        self,
        spike: float | None = None,
        window: int = 100,
        factor: float = 0.5,
        recover: float = 1000,
        floor: float = 0.0,
        nonfinite: bool = True,
    ) -> None:
        self.spike, self.window, self.factor, self.recover = spike, window, factor, recover
        self.floor, self.nonfinite = floor, nonfinite
        self.s: float | None = None
        self.at, self.count, self.ema, self.events = 0, 0, 0.0, 0

    def e(self, step: int) -> float:
        return 0.0 if self.recover == INF else min(1.0, max(0, step - self.at) / self.recover)

    def report(self, y: float, step: int, skipped: bool = False) -> None:
        spiked = self.spike is not None and self.count > 0 and y > self.ema + (self.spike - 1) * abs(self.ema)
        if (not math.isfinite(y) and self.nonfinite) or spiked:
            self.s = self.factor if self.s is None else self.s ** (1 - self.e(step)) * self.factor
            self.at = step
            self.events += 1
        elif math.isfinite(y):
            self.count += 1
            self.ema = y if self.count == 1 else self.ema + (y - self.ema) / min(self.count, self.window)

    def lr(self, v: float, step: int) -> float:
        return v if self.s is None else min(v, max(v * self.s ** (1 - self.e(step)), self.floor))


class Normscale:
    """In proportion to the last norm."""

    def __init__(self, target: float) -> None:
        self.target, self.ratio = target, 1.0

    def report(self, y: float, step: int, skipped: bool = False) -> None:
        if math.isfinite(y) and not skipped:
            self.ratio = min(1.0, self.target / y) if y > 0 else 1.0

    def lr(self, v: float, step: int) -> float:
        return v * self.ratio
