"""Segments that go on for ever unless ``n`` ends them, at the value of their formula."""

import itertools
from collections.abc import Sequence
from typing import Any

from lrdsl.errors import ScheduleError
from lrdsl.primitives.at import At
from lrdsl.primitives.signature import (
    ENDLESS,
    PREV,
    Formula,
    NonNegative,
    Period,
    Positions,
    Positive,
    Rate,
    Rates,
    Span,
    Steps,
    segment,
)
from lrdsl.program.expr import Expr, const, floor, power, select, sqrt, substitute


@segment()
def exponential(at: At, gamma: Positive, every: Span = 1, from_: Rate = PREV, n: Steps = ENDLESS) -> Any:
    """Smooth exponential curve.

        lr(t) = from * gamma**(t / every)

    First step: ``from``. After ``n`` steps: the formula at t = n, held.

    Args:
        gamma: Factor per ``every`` steps; above 1 the rate grows.
        every: Steps (or a duration) that one factor takes; need not be whole.
        from: Learning rate at the start. Default: where the segment on the left ended.
        n: Length, in optimizer steps. Default: for ever.

    Example:
        >>> import lrdsl
        >>> lrdsl.compile("exponential(0.5, every=10)", base_lr=1.0).lr(20)
        0.25

    Source: torch ``ExponentialLR``, keras ``ExponentialDecay``.
    """
    return from_ * power(gamma, at.t, over=every)


@segment()
def step(at: At, every: Period, gamma: Positive = 0.1, from_: Rate = PREV, n: Steps = ENDLESS) -> Any:
    """Staircase: one factor every ``every`` steps.

        lr(t) = from * gamma**floor(t / every)

    First step: ``from``. After ``n`` steps: the formula at t = n, held.

    Args:
        every: Steps between two cuts, at least 1.
        gamma: Factor of each cut.
        from: Learning rate at the start. Default: where the segment on the left ended.
        n: Length, in optimizer steps. Default: for ever.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("step(30, gamma=0.5)", base_lr=1.0)
        >>> schedule.lr(29), schedule.lr(30), schedule.lr(60)
        (1.0, 0.5, 0.25)

    Source: torch ``StepLR``.
    """
    return from_ * power(gamma, floor(at.t / every))


@segment()
def multistep(
    at: At,
    at_: Positions,
    gamma: Positive = 0.1,
    values: Rates = None,
    from_: Rate = PREV,
    n: Steps = ENDLESS,
) -> Any:
    """A cut at each milestone, or a value between milestones.

        lr(t) = from * gamma**k   or   values[k],   k = number of milestones <= t

    First step: ``from`` or ``values[0]``. A milestone written twice counts twice. After ``n`` steps: the formula
    at t = n, held.

    Args:
        at: Milestones, counted from the segment's start, not decreasing.
        gamma: Factor of each cut.
        values: Rates between the milestones, one more than there are milestones; replaces ``gamma`` and ``from``.
        from: Learning rate at the start. Default: where the segment on the left ended.
        n: Length, in optimizer steps. Default: for ever.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("multistep([10, 20], values=[1x, 2e-4, 0.1x])", base_lr=1e-3)
        >>> schedule.lr(9), schedule.lr(10), schedule.lr(20)
        (0.001, 0.0002, 0.0001)

    Raises:
        ScheduleError: Milestones that decrease or are never reached, or a wrong number of values.

    Source: torch ``MultiStepLR``, keras ``PiecewiseConstantDecay`` (there a milestone belongs to the left).
    """
    for earlier, later in itertools.pairwise(at_):
        if later < earlier:
            raise ScheduleError("E0602", f"`at` must not decrease: {later} comes after {earlier}")
    late = next((milestone for milestone in at_ if milestone >= at.n), None)
    if late is not None:
        raise ScheduleError("E0604", f"milestone {late} is never reached: the segment has {at.n:g} steps")
    if values is None:
        return from_ * power(gamma, _count([at.t >= milestone for milestone in at_]))
    if len(values) != len(at_) + 1:
        hint = "one before each milestone, and one after the last"
        raise ScheduleError("E0603", f"`values` needs {len(at_) + 1} entries, got {len(values)}", hint=hint)
    return _choose(at.t, at_, values)


def _count(answers: Sequence[Any]) -> Any:
    """How many answers are yes: a balanced sum, so that a thousand milestones do not nest a thousand deep."""
    if len(answers) == 1:
        return answers[0] * 1.0
    middle = len(answers) // 2
    return _count(answers[:middle]) + _count(answers[middle:])


def _choose(t: Any, at: Sequence[int], values: Sequence[Any]) -> Any:
    if not at:
        return values[0]
    middle = len(at) // 2
    left = _choose(t, at[:middle], values[: middle + 1])
    return select(t < at[middle], left, _choose(t, at[middle + 1 :], values[middle + 1 :]))


@segment()
def inverse_sqrt(at: At, timescale: Span, from_: Rate = PREV, n: Steps = ENDLESS) -> Any:
    """Decay with the inverse square root of time.

        lr(t) = from * sqrt(timescale / (timescale + t))

    First step: ``from``. After ``n`` steps: the formula at t = n, held. ``warmup(w) >> inverse_sqrt(w)`` is the
    usual base * sqrt(w / step).

    Args:
        timescale: Steps (or a duration) after which the rate has fallen to 71 %.
        from: Learning rate at the start. Default: where the segment on the left ended.
        n: Length, in optimizer steps. Default: for ever.

    Example:
        >>> import lrdsl
        >>> lrdsl.compile("inverse_sqrt(100)", base_lr=1.0).lr(300)
        0.5

    Source: transformers ``inverse_sqrt``; Raffel et al. 2020 (T5), https://arxiv.org/abs/1910.10683
    """
    return from_ * sqrt(timescale / (timescale + at.t))


@segment()
def inverse_time(at: At, rate: NonNegative, every: Span = 1, from_: Rate = PREV, n: Steps = ENDLESS) -> Any:
    """Decay with the inverse of time.

        lr(t) = from / (1 + rate * t / every)

    First step: ``from``. After ``n`` steps: the formula at t = n, held.

    Args:
        rate: How much the denominator grows per ``every`` steps.
        every: Steps (or a duration) that ``rate`` refers to.
        from: Learning rate at the start. Default: where the segment on the left ended.
        n: Length, in optimizer steps. Default: for ever.

    Example:
        >>> import lrdsl
        >>> lrdsl.compile("inverse_time(0.5, every=4)", base_lr=1.0).lr(8)
        0.5

    Source: keras ``InverseTimeDecay``; Robbins & Monro 1951, https://doi.org/10.1214/aoms/1177729586
    """
    return from_ / (1.0 + rate * at.t / every)


@segment()
def expr(at: At, formula: Formula, n: Steps = ENDLESS) -> Any:
    """A formula of one's own.

        lr(t) = formula(t, n, u, step, base, prev, total)

    First step: the formula at t = 0. After ``n`` steps: the formula at t = n, held.

    Args:
        formula: Over ``t`` (local time), ``n`` and ``u = t/n`` (with a length), ``step``, ``base``, ``prev``,
            ``total``, ``pi``, and ``+ - * / **``, comparisons, ``where(c, a, b)``, ``abs ceil clamp cos cospi exp
            exp2 floor log log2 max min mod pow sin sinpi sqrt tanh``.
        n: Length, in optimizer steps. Default: for ever.

    Example:
        >>> import lrdsl
        >>> lrdsl.compile("expr(base * 0.5 ** floor(t / 10))", base_lr=1.0).lr(25)
        0.25

    Source: torch ``LambdaLR``.
    """
    known: dict[str, Any] = {"t": at.t, "n": at.n, "u": at.u, "step": at.step, "prev": at.prev, "base": at.base}
    return substitute(formula, {name: x if isinstance(x, Expr) else const(x) for name, x in known.items()})
