"""Modifiers driven by observed metrics. Their memory is a few numbers that every evaluator keeps.

The update is computed from the old state and committed at once; the effect reads the
state of now. Reports arrive through ``observe``.
"""

from typing import Any

from lrdsl.primitives.signature import Count, Metric, Mode, NonNegative, Period, Rate, Ratio, ThresholdMode, observed
from lrdsl.program.expr import Expr, both, either, equal, finite, maximum, minimum, power, select


class State:
    """The slots of one modifier, by name, as traced numbers."""

    def __init__(self, slots: dict[str, Expr]) -> None:
        self.__dict__.update(slots)

    def __getattr__(self, name: str) -> Expr:
        raise AttributeError(f"no state slot `{name}`; declare it in @observed(...)")


@observed(sum=0, count=0, best=0, seen=0, bad=0, cool=0, cuts=0)
def plateau(
    state: State,
    y: Expr,
    patience: Count = 10,
    factor: Ratio = 0.1,
    metric: Metric = "loss",
    mode: Mode = "min",
    threshold: NonNegative = 1e-4,
    threshold_mode: ThresholdMode = "rel",
    cooldown: Count = 0,
    min: Rate = 0,
    every: Period = 1,
) -> dict[str, Any]:
    """Multiply the learning rate by ``factor`` when a metric stops improving.

        lr = min(v, max(v * factor**k, min)),   v the value of the left side, k the cuts so far

    A report counts as better if it beats the best so far by ``threshold``; a cut falls at the bad report number
    ``patience + 1`` in a row. Reports that are not finite are bad. The rate is never raised above v. Reports made
    outside the scope of the left side are not seen; the cuts made in it stay.

    Args:
        patience: Bad reports that are tolerated.
        factor: What one cut multiplies the rate by, between 0 and 1.
        metric: Name of the metric, as given to ``observe``.
        mode: ``min`` if smaller is better, ``max`` if larger.
        threshold: What counts as an improvement.
        threshold_mode: ``rel``: of the best's magnitude; ``abs``: as it is.
        cooldown: Reports after a cut in which none is bad.
        min: Floor, a rate.
        every: Reports that are averaged into one.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("hold() | plateau(patience=1, factor=0.5)", base_lr=1.0)
        >>> for loss in [1.0, 0.9, 0.9, 0.9]:
        ...     schedule.observe(loss)
        >>> schedule.lr(4)
        0.5

    Source: torch ``ReduceLROnPlateau`` (there it multiplies the rate itself, which no other schedule may then set).
    """
    sum, count = state.sum + y, state.count + 1.0
    due = equal(count, every)
    y = sum / every if every > 1 else y
    sign = 1.0 if mode == "min" else -1.0
    margin = threshold * abs(state.best) if threshold_mode == "rel" else threshold
    better = both(finite(y), either(equal(state.seen, 0.0), sign * y < sign * state.best - margin))
    bad = select(state.cool > 0.0, 0.0, select(better, 0.0, state.bad + 1.0))
    cool = select(state.cool > 0.0, state.cool - 1.0, 0.0)
    fire = bad > patience
    after = {
        "best": select(better, y, state.best),
        "seen": either(state.seen, better),
        "bad": select(fire, 0.0, bad),
        "cool": select(fire, cooldown, cool),
        "cuts": state.cuts + fire,
    }
    if every == 1:
        return after
    waiting = {name: select(due, value, getattr(state, name)) for name, value in after.items()}
    return waiting | {"sum": select(due, 0.0, sum), "count": select(due, 0.0, count)}


@plateau.value
def plateau_value(value: Expr, state: State, factor: float, min: Any) -> Expr:
    """Cut, but never below the floor and never above the value itself."""
    return minimum(value, maximum(value * power(factor, state.cuts), min))  # type: ignore[no-any-return]
