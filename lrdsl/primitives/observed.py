"""Modifiers driven by whether a metric gets better. Their memory is a few numbers that every evaluator keeps.

The update is computed from the old state and committed at once; the effect reads the
state of now. Reports arrive through ``observe``.
"""

from typing import Any

from lrdsl.primitives.report import Report, State
from lrdsl.primitives.signature import (
    TENFOLD,
    Count,
    Metric,
    Mode,
    NonNegative,
    Past,
    Period,
    Rate,
    Ratio,
    ThresholdMode,
    Window,
    observed,
)
from lrdsl.program.expr import Expr, both, either, equal, finite, maximum, minimum, power, select


def _better(y: Any, state: State, mode: str, threshold: float, threshold_mode: str) -> Expr:
    """Does a finite report beat the best so far, if there is one?"""
    sign = 1.0 if mode == "min" else -1.0
    margin = threshold * abs(state.best) if threshold_mode == "rel" else threshold
    return both(finite(y), either(equal(state.seen, 0.0), sign * y < sign * state.best - margin))  # type: ignore[no-any-return]


@observed(sum=0, count=0, best=0, seen=0, bad=0, cool=0, cuts=0)
def plateau(
    state: State,
    report: Report,
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
    sum, count = state.sum + report.value, state.count + 1.0
    due = equal(count, every)
    y = sum / every if every > 1 else report.value
    better = _better(y, state, mode, threshold, threshold_mode)
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


@observed(best=0, seen=0, bad=0, good=0, wait=0, k=0, count=0, past=Past("smooth"))
def greedy(
    state: State,
    report: Report,
    patience: Count = 10,
    factor: Ratio = 0.95,
    metric: Metric = "loss",
    mode: Mode = "min",
    threshold: NonNegative = 1e-6,
    threshold_mode: ThresholdMode = "abs",
    cooldown: Count = 0,
    warmup: Count = 0,
    min: Rate = 0,
    max: Rate = TENFOLD,
    smooth: Window = 1,
) -> dict[str, Any]:
    """Raise the learning rate while a metric improves, lower it when it stops improving.

        lr = min(max(v * factor**k, min(v, min)), max(v, max)),   v the value of the left side

    k goes down by 1 after ``patience + 1`` better reports in a row, as long as ``base * factor**k < max``, and up by 1
    after ``patience + 1`` reports in a row that are not better, as long as ``base * factor**k > min``. What is compared
    is the mean of the last ``smooth`` finite reports; one that is not finite is not averaged and not better. The bounds
    stop what this modifier does; they neither raise nor lower a v that is beyond them by itself.

    Args:
        patience: Reports of one kind in a row that change nothing yet.
        factor: What the rate is multiplied or divided by, between 0 and 1.
        metric: Name of the metric, as given to ``observe``.
        mode: ``min`` if smaller is better, ``max`` if larger.
        threshold: What counts as an improvement.
        threshold_mode: ``rel``: of the best's magnitude; ``abs``: as it is.
        cooldown: Reports after a lowering that are not compared.
        warmup: Reports after a raise that are not compared.
        min: Floor, a rate.
        max: Ceiling, a rate. Default: ten times base.
        smooth: Reports that are averaged, 1 to 64.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("hold() | greedy(patience=1, factor=0.5)", base_lr=1.0)
        >>> for loss in [1.0, 0.9, 0.8, 0.8]:
        ...     schedule.observe(loss)
        >>> schedule.lr(4)
        2.0
        >>> for loss in [0.8, 0.8, 0.8]:
        ...     schedule.observe(loss)
        >>> schedule.lr(7)
        0.5

    Source: transformers ``GreedyLR``; https://arxiv.org/abs/2512.14527 (there it owns the rate, and starts anew after
    a long time at the floor).
    """
    sum = 0.0
    for value in state.past:
        sum = sum + value
    y = (sum + report.value) / (state.count + 1.0) if smooth > 1 else report.value
    better = _better(y, state, mode, threshold, threshold_mode)
    paused = state.wait > 0.0
    good = select(paused, 0.0, select(better, state.good + 1.0, 0.0))
    bad = select(paused, 0.0, select(better, 0.0, state.bad + 1.0))
    rises, falls = good > patience, bad > patience
    rate = report.base * power(factor, state.k)
    improves, known = select(paused, 0.0, better), finite(report.value)
    return {
        "best": select(improves, y, state.best),
        "seen": either(state.seen, improves),
        "bad": select(falls, 0.0, bad),
        "good": select(rises, 0.0, good),
        "wait": select(paused, state.wait - 1.0, select(rises, warmup, select(falls, cooldown, 0.0))),
        "k": state.k + both(falls, rate > min) - both(rises, rate < max),
        "count": select(known, minimum(state.count + 1.0, smooth - 1.0), state.count),
        "past": tuple(select(known, y, x) for x, y in zip(state.past, (*state.past[1:], report.value), strict=False)),
    }


@greedy.value
def greedy_value(value: Expr, state: State, factor: float, min: Any, max: Any) -> Expr:
    """Moved, but not beyond the bounds unless the value itself is there."""
    moved = maximum(value * power(factor, state.k), minimum(value, min))
    return minimum(moved, maximum(value, max))  # type: ignore[no-any-return]
