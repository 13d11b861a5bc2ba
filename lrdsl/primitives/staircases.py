"""Segments that stay, and cut from time to time."""

import itertools
from collections.abc import Sequence
from typing import Any

from lrdsl.errors import ScheduleError
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
    for earlier, later in itertools.pairwise(at_):
        if later < earlier:
            raise ScheduleError("E0602", f"`at` must not decrease: {later} comes after {earlier}")
    late = next((milestone for milestone in at_ if milestone >= at.n), None)
    if late is not None:
        message = f"milestone {late} is never reached: the segment has {int(at.n)} steps"
        raise ScheduleError("E0604", message, hint="milestones count from the start of their segment")
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
