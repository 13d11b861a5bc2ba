"""Segments that go on for ever unless ``n`` ends them, at the value of their formula."""

from typing import Any

from lrdsl.primitives.at import At
from lrdsl.primitives.signature import ENDLESS, PREV, Flag, Formula, NonNegative, Positive, Rate, Span, Steps, segment
from lrdsl.program.expr import Expr, const, floor, minimum, power, sqrt, substitute


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
def noam(at: At, d_model: Positive, warmup: Span, n: Steps = ENDLESS) -> Any:
    """Linear warm-up, then the inverse square root of time: the Transformer's schedule.

        lr(t) = base * d_model**-0.5 * min(t**-0.5, t * warmup**-1.5),   0 at t = 0

    First step: 0. After ``n`` steps: the formula at t = n, held. It scales base, whatever rate it is entered at. The
    paper counts from 1: append ``| skip(1)``.

    Args:
        d_model: Width of the model, above 0.
        warmup: Steps (or a duration) to the peak, base / sqrt(d_model * warmup).
        n: Length, in optimizer steps. Default: for ever.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("noam(4, warmup=100)", base_lr=1.0)
        >>> schedule.lr(0), schedule.lr(50), schedule.lr(100), schedule.lr(400)
        (0.0, 0.025, 0.05, 0.025)

    Source: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762
    """
    rising = at.t / (warmup * sqrt(d_model * warmup))
    return at.base * minimum(rising, 1.0 / sqrt(d_model * at.t))


@segment()
def range_test(
    at: At, every: Span, rate: NonNegative = 1, from_: Rate = PREV, staircase: Flag = False, n: Steps = ENDLESS
) -> Any:
    """Rise until training breaks, to find out what rate is too large.

        lr(t) = from * (1 + rate * q),   q = t / every, or floor(t / every) if staircase

    First step: ``from``. After ``n`` steps: the formula at t = n, held.

    Args:
        every: Steps (or a duration) in which the rate grows by ``rate`` times ``from``.
        rate: How much it grows, in multiples of ``from``, not negative.
        from: Learning rate at the start. Default: where the segment on the left ended.
        staircase: Grow in jumps, once per ``every``.
        n: Length, in optimizer steps. Default: for ever.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("range_test(100, from=0.25x, rate=2)", base_lr=1.0)
        >>> schedule.lr(0), schedule.lr(50), schedule.lr(100)
        (0.25, 0.5, 0.75)

    Source: DeepSpeed ``LRRangeTest``; Smith 2017, https://arxiv.org/abs/1506.01186
    """
    passed = floor(at.t / every) if staircase else at.t / every
    return from_ * (1.0 + rate * passed)


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
