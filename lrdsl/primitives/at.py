"""`At`: where a segment's formula stands."""

from dataclasses import dataclass
from typing import Any

from lrdsl.program.expr import STEP


@dataclass(frozen=True, slots=True)
class At:
    """A place inside a segment.

    Attributes:
        t: Local time: 0 at the segment's first step. A traced number, or a plain one.
        n: The segment's length in steps, inf if it never ends.
        prev: The rate on entering the segment.
        base: The base rate.
        step: The schedule's own clock.
        lost: What rounding took from `t`, where a stretched round's clock is no whole number.
    """

    t: Any
    n: float
    prev: Any
    base: Any
    step: Any = STEP
    lost: Any = 0.0

    @property
    def u(self) -> Any:
        """Share of the segment that has passed, ``t / n``; a segment without steps is over."""
        return self.t / self.n if self.n else 1.0

    @property
    def left(self) -> Any:
        """Share that is left, ``(n - t) / n``: exact near the end, where ``1 - t/n`` is not."""
        return ((self.n - self.t) - self.lost) / self.n if self.n else 0.0
