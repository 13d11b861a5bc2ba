"""Segments that are short for a sequence of others, and leave the same Program as what they are short for."""

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from lrdsl.errors import ScheduleError, raise_all
from lrdsl.primitives.signature import (
    DecayShape,
    Duration,
    ExactSteps,
    LateRate,
    PointsShape,
    Positions,
    Rates,
    structure,
)
from lrdsl.primitives.stage import Part, Stage
from lrdsl.program.expr import known
from lrdsl.program.stretch import Stretch


@structure(alias={"min": "to"})
def wsd(
    stage: Stage,
    n: ExactSteps,
    warmup: Duration,
    decay: Duration,
    to: LateRate = 0,
    shape: DecayShape = "linear",
) -> Stretch:
    """Warm up, stay, decay.

        warmup(warmup) >> hold(n - warmup - decay) >> shape(decay, to=to)

    First step: 0. In between it stays at base. It ends at ``to``, held.

    Args:
        n: Length of the whole, in optimizer steps.
        warmup: Steps of the linear warm-up from 0 to base.
        decay: Steps of the decay at the end.
        to: Learning rate at the end; ``prev`` in it is the rate before the decay. Also written ``min``.
        shape: ``linear``, ``cosine`` or ``one_minus_sqrt``.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("wsd(10, warmup=2, decay=4, to=0.5x)", base_lr=1.0)
        >>> [schedule.lr(t) for t in (0, 1, 2, 6, 8, 10)]
        [0.0, 0.5, 1.0, 1.0, 0.75, 0.5]

    Raises:
        ScheduleError: ``n`` is shorter than ``warmup`` and ``decay`` together.

    Source: Hu et al. 2024 (MiniCPM), https://arxiv.org/abs/2404.06395
    """
    if n < warmup + decay:
        message = f"`warmup` and `decay` of `wsd` need {_steps(warmup + decay)} steps, `n` has {_steps(n)}"
        hint = "shorten one of them; a share such as `10%` is of the run, not of `n`"
        raise ScheduleError("E0409", message, hint=hint)
    return stage.rewrite(
        [Part("warmup", warmup), Part("hold", n - warmup - decay), Part(shape, decay, {"to": to})],
    )


@structure()
def points(stage: Stage, at: Positions, values: Rates, shape: PointsShape = "linear") -> Stretch:
    """Through given points, interpolated.

        lr(t) = values[0]                                       t < at[0]
        lr(t) = from values[i] to values[i + 1] by shape,       at[i] <= t < at[i + 1]

    First step: ``values[0]``. It is as long as its last position, and ends at the last value, held.

    Args:
        at: Positions counted from the segment's start, increasing; at least 2.
        values: Rates at these positions, as many.
        shape: What runs between two points: ``linear``, ``cosine`` or ``geometric``.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("points([0, 10, 30], [0, 1x, 0.5x])", base_lr=1.0)
        >>> schedule.lr(5), schedule.lr(10), schedule.lr(20), schedule.lr(30)
        (0.5, 1.0, 0.75, 0.5)

    Raises:
        ScheduleError: Positions that do not increase, fewer than 2 of them or not as many as values, or a value of 0
            with ``shape=geometric``.

    Source: ignite ``PiecewiseLinear``, optax ``piecewise_interpolate_schedule``.
    """
    assert values is not None
    raise_all(_faults(at, values, shape))
    steps = itertools.pairwise(at)
    between = [
        Part(shape, Fraction(later - earlier), {"to": to})
        for (earlier, later), to in zip(steps, values[1:], strict=True)
    ]
    return stage.rewrite([Part("constant", Fraction(at[0]), {"value": values[0]}), *between])


def _faults(at: Sequence[int], values: Sequence[Any], shape: str) -> Iterator[ScheduleError]:
    if len(at) < 2:
        yield ScheduleError("E0603", f"`at` of `points` needs 2 entries or more, got {len(at)}")
    falls = next((pair for pair in itertools.pairwise(at) if pair[1] <= pair[0]), None)
    if falls is not None:
        yield ScheduleError("E0602", f"`at` of `points` must be increasing: {falls[1]} comes after {falls[0]}")
    if len(values) != len(at):
        message = f"`values` of `points` needs {len(at)} entries, as many as `at`, got {len(values)}"
        yield ScheduleError("E0603", message)
    if shape == "geometric" and any(known(value) == 0.0 for value in values):
        message = "`values` of `points` must be greater than 0 where the shape is geometric, got 0"
        yield ScheduleError("E0605", message)


def _steps(length: Fraction) -> str:
    return f"{float(length):g}" if length < 10**6 else f"{float(length):.12g}"
