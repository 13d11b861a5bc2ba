"""Segments that run from one rate to another, and stay there."""

from fractions import Fraction
from typing import Any

from lrdsl.errors import ScheduleError
from lrdsl.primitives.at import At
from lrdsl.primitives.signature import (
    BASE,
    ENDLESS,
    PREV,
    Positive,
    PositiveRate,
    Rate,
    Shape,
    Steps,
    TanhBound,
    segment,
)
from lrdsl.program.elementary import two_product, two_sum
from lrdsl.program.expr import exp, expm1, known, log, log1p, maximum, minimum, mix, select, sinpi, sqrt, square
from lrdsl.program.expr import power as raised


def between(start: Any, end: Any, left: Any, passed: Any) -> Any:
    """From `start` to `end`; `left` goes from 1 to 0 and `passed` from 0 to 1, and their sum is 1.

    Measured from the smaller of the two rates. From the larger one, a rate near the smaller would be the difference of
    two almost equal numbers.
    """
    up, down = mix(end, start, passed), mix(start, end, left)
    if known(end) == 0.0:  # no rate is negative: it cannot rise
        return down
    return up if known(start) == 0.0 else select(start < end, up, down)


@segment()
def warmup(at: At, n: Steps, from_: Rate = 0, to: Rate = BASE, shape: Shape = "linear") -> Any:
    """Ramp up from ``from`` to ``to``.

        lr(t) = from + (to - from) * g(t),   0 <= t < n

    with g = t/n (linear), sin(pi t / 2n)**2 (cosine), ln(t + 1)/ln n (log; 0 if n = 1),
    1 - sqrt((n - t)/n) (one_minus_sqrt).

    First step: ``from``. After ``n`` steps: ``to``, held. A warm-up names its own start, 0, so update 0 moves
    nothing; write ``from=`` for another one.

    Args:
        n: Length, in optimizer steps.
        from: Learning rate at the start.
        to: Learning rate at the end; ``1x`` is base.
        shape: ``linear``, ``cosine``, ``log`` or ``one_minus_sqrt``.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("warmup(4)", base_lr=0.1)
        >>> [schedule.lr(t) for t in range(6)]
        [0.0, 0.025, 0.05, 0.07500000000000001, 0.1, 0.1]

    Source: Goyal et al. 2017, gradual warm-up, https://arxiv.org/abs/1706.02677; log: DeepSpeed ``WarmupLR``;
    1-sqrt: transformers ``warmup_stable_decay``.
    """
    shapes = {
        "linear": lambda: (at.left, at.u),
        "cosine": lambda: (square(sinpi(at.left / 2)), square(sinpi(at.u / 2))),
        "log": lambda: _logarithmic(at),
        "one_minus_sqrt": lambda: (sqrt(at.left), at.u / (1.0 + sqrt(at.left))),
    }
    return between(from_, to, *shapes[shape]())


def _logarithmic(at: At) -> tuple[Any, Any]:
    """Reaches the end one step early, at t = n - 1, as DeepSpeed's does."""
    if at.n <= 1:
        return select(at.t >= at.n, 0.0, 1.0), select(at.t >= at.n, 1.0, 0.0)
    passed = minimum(log(at.t + 1.0) / log(at.n), 1.0)
    left = maximum(log1p((at.n - 1.0 - at.t) / (at.t + 1.0)) / log(at.n), 0.0)
    return left, passed


@segment(alias={"min": "to"})
def linear(at: At, n: Steps, to: Rate = 0, from_: Rate = PREV) -> Any:
    """Straight line from the incoming learning rate to ``to``.

        lr(t) = to + (from - to) * (n - t)/n,   0 <= t < n

    First step: ``from``. After ``n`` steps: ``to``, held.

    Args:
        n: Length, in optimizer steps.
        to: Learning rate at the end; ``0.1x`` is a tenth of base. Also written ``min``.
        from: Learning rate at the start. Default: where the segment on the left ended.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("linear(100, to=0.5x)", base_lr=1.0)
        >>> schedule.lr(0), schedule.lr(50), schedule.lr(100)
        (1.0, 0.75, 0.5)

    Source: torch ``LinearLR``; Devlin et al. 2019 (BERT), https://arxiv.org/abs/1810.04805
    """
    return between(from_, to, at.left, at.u)


@segment(alias={"min": "to"})
def cosine(at: At, n: Steps, to: Rate = 0, from_: Rate = PREV) -> Any:
    """Half-cosine decay from the incoming learning rate to ``to``.

        lr(t) = to + (from - to) * (1 + cos(pi * t / n)) / 2,   0 <= t < n

    First step: ``from``. After ``n`` steps: ``to``, held (torch and transformers climb back).

    Args:
        n: Length, in optimizer steps.
        to: Learning rate at the end; ``0.1x`` is a tenth of base. Also written ``min``.
        from: Learning rate at the start. Default: where the segment on the left ended.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("cosine(100)", base_lr=0.1)
        >>> schedule.lr(0), schedule.lr(100)
        (0.1, 0.0)

    Source: Loshchilov & Hutter 2017, SGDR (its cosine, without restarts). https://arxiv.org/abs/1608.03983
    """
    # (1 + cos(pi t/n))/2 without its cancellation near the end
    return between(from_, to, square(sinpi(at.left / 2)), square(sinpi(at.u / 2)))


@segment(alias={"min": "to"})
def polynomial(at: At, n: Steps, power: Positive = 1, to: Rate = 0, from_: Rate = PREV) -> Any:
    """Power of the time that is left.

        lr(t) = to + (from - to) * ((n - t)/n)**power,   0 <= t < n

    First step: ``from``. After ``n`` steps: ``to``, held.

    Args:
        n: Length, in optimizer steps.
        power: Exponent, above 0; 1 is `linear`.
        to: Learning rate at the end. Also written ``min``.
        from: Learning rate at the start. Default: where the segment on the left ended.

    Example:
        >>> import lrdsl
        >>> lrdsl.compile("polynomial(4, power=2)", base_lr=1.0).lr(2)
        0.25

    Source: torch ``PolynomialLR``; Chen et al. 2018 (DeepLab, power 0.9), https://arxiv.org/abs/1606.00915
    """
    remaining = select(at.u < 0.5, log1p(-at.u), log(at.left))
    return between(from_, to, raised(at.left, power), -expm1(power * remaining))


@segment(alias={"min": "to"})
def one_minus_sqrt(at: At, n: Steps, to: Rate = 0, from_: Rate = PREV) -> Any:
    """One minus the square root of the time that has passed: a steep, then gentle cooldown.

        lr(t) = to + (from - to) * (1 - sqrt(t/n)),   0 <= t < n

    First step: ``from``. After ``n`` steps: ``to``, held.

    Args:
        n: Length, in optimizer steps.
        to: Learning rate at the end. Also written ``min``.
        from: Learning rate at the start. Default: where the segment on the left ended.

    Example:
        >>> import lrdsl
        >>> lrdsl.compile("one_minus_sqrt(100)", base_lr=1.0).lr(25)
        0.5

    Source: Hägele et al. 2024, https://arxiv.org/abs/2405.18392
    """
    # 1 - sqrt(u) = (1 - u) / (1 + sqrt(u)), which keeps its digits near the end.
    return between(from_, to, at.left / (1.0 + sqrt(at.u)), sqrt(at.u))


@segment(alias={"min": "to"})
def geometric(at: At, n: Steps, to: PositiveRate, from_: PositiveRate = PREV) -> Any:
    """Exponential curve that hits ``to`` exactly: equal ratios in equal times.

        lr(t) = from * (to / from)**(t/n),   0 <= t < n

    First step: ``from``. After ``n`` steps: ``to``, held. Both must be above 0.

    Args:
        n: Length, in optimizer steps.
        to: Learning rate at the end. Also written ``min``.
        from: Learning rate at the start. Default: where the segment on the left ended.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("geometric(2, to=0.25x)", base_lr=1.0)
        >>> [schedule.lr(t) for t in range(4)]
        [1.0, 0.5, 0.25, 0.25]

    Source: fastai ``SchedExp``; Smith 2017 (range test), https://arxiv.org/abs/1506.01186
    """
    return select(at.u >= 1.0, to, from_ * raised(to / from_, at.t, over=at.n)) if at.n else to


@segment(alias={"min": "to"})
def tanh(at: At, n: Steps, to: Rate = 0, from_: Rate = PREV, lb: TanhBound = -7, ub: TanhBound = 3) -> Any:
    """Hyperbolic tangent decay from near the incoming learning rate to near ``to``.

        lr(t) = to + (from - to) * (1 - tanh(lb * (n - t)/n + ub * t/n)) / 2,   0 <= t < n

    First step: near ``from``. After ``n`` steps: near ``to`` (the formula at t = n), held.

    Args:
        n: Length, in optimizer steps.
        to: Learning rate that the end approaches. Also written ``min``.
        from: Learning rate that the start approaches. Default: where the segment on the left ended.
        lb: Argument of tanh at the start.
        ub: Argument of tanh at the end, above ``lb``.

    Example:
        >>> import lrdsl
        >>> lrdsl.compile("tanh(100, lb=-5, ub=5)", base_lr=1.0).lr(50)
        0.5

    Raises:
        ScheduleError: ``lb`` is not below ``ub``.

    Source: timm ``TanhLRScheduler``; Hsueh et al. 2019, https://arxiv.org/abs/1806.01593
    """
    if not lb < ub:
        raise ScheduleError("E0601", f"`lb` of `tanh` must be below `ub`, got {lb:g} and {ub:g}")
    # (1 - tanh x)/2 = 1 / (1 + exp 2x), which does not cancel; exp needs more digits of 2x than a double holds.
    x, low = _line(2 * Fraction(lb), 2 * Fraction(ub), at)
    return between(from_, to, 1.0 / (1.0 + exp(x) * (1.0 + low)), 1.0 / (1.0 + exp(-x) * (1.0 - low)))


def _line(start: Fraction, end: Fraction, at: At) -> tuple[Any, Any]:
    """From `start` to `end` over the segment, as an unevaluated sum of two doubles."""
    if not at.n:
        return float(end), 0.0
    slope = (end - start) / int(at.n)
    high = float(slope)
    climbed, lost = two_product(at.t, high)
    value, error = two_sum(float(start), climbed)
    return value, error + (lost + at.t * float(slope - Fraction(high)))


@segment()
def hold(at: At, n: Steps = ENDLESS) -> Any:
    """Keep the incoming learning rate.

        lr(t) = prev

    Args:
        n: Length, in optimizer steps. Default: for ever.

    Example:
        >>> import lrdsl
        >>> lrdsl.compile("warmup(10) >> hold()", base_lr=0.1).lr(1_000_000)
        0.1
    """
    return at.prev


@segment()
def constant(at: At, value: Rate, n: Steps = ENDLESS) -> Any:
    """A learning rate that is written down.

        lr(t) = value

    Args:
        value: The rate; ``0.5x`` is half of base.
        n: Length, in optimizer steps. Default: for ever.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("constant(0.25x, 6) >> constant(1x)", base_lr=0.1)
        >>> schedule.lr(5), schedule.lr(6)
        (0.025, 0.1)

    Source: torch ``ConstantLR`` (there a factor for a while, then base).
    """
    return value
