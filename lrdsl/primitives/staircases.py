"""Segments that stay, and cut from time to time."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from lrdsl.errors import ScheduleError, raise_all
from lrdsl.primitives.at import At
from lrdsl.primitives.signature import ENDLESS, PREV, Period, Positions, Positive, Rate, Rates, Steps, segment
from lrdsl.program.expr import floor, power, select


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
    raise_all(_faults(at_, at.n, values))
    if values is None:
        return from_ * power(gamma, _count([at.t >= milestone for milestone in at_]))
    return _choose(at.t, at_, values)


def _faults(at: Sequence[int], n: float, values: Rates) -> Iterator[ScheduleError]:
    falls = next((pair for pair in itertools.pairwise(at) if pair[1] < pair[0]), None)
    if falls is not None:
        yield ScheduleError("E0602", f"`at` must not decrease: {falls[1]} comes after {falls[0]}")
    late = next((milestone for milestone in at if milestone >= n), None)
    if late is not None:
        message = f"milestone {late} is never reached: the segment has {int(n)} steps"
        yield ScheduleError("E0604", message, hint="milestones count from the start of their segment")
    if values is not None and len(values) != len(at) + 1:
        hint = "one before each milestone, and one after the last"
        yield ScheduleError("E0603", f"`values` needs {len(at) + 1} entries, got {len(values)}", hint=hint)


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
