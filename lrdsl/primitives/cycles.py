"""Segments that come round: one cycle, many triangles, and any schedule again and again on a clock of its own."""

from fractions import Fraction
from typing import Any

from lrdsl.errors import ScheduleError
from lrdsl.primitives.at import At
from lrdsl.primitives.ramps import between
from lrdsl.primitives.signature import (
    BASE,
    ENDLESS,
    INF,
    PREV,
    Body,
    Derived,
    Multiple,
    NonNegative,
    OneCycleShape,
    Period,
    Positive,
    Rate,
    Ratio,
    Steps,
    Times,
    segment,
    structure,
)
from lrdsl.primitives.stage import Stage
from lrdsl.program.elementary import two_product
from lrdsl.program.expr import (
    const,
    expm1,
    floor,
    fresh,
    log,
    maximum,
    power,
    round_index,
    round_start,
    select,
    sinpi,
    square,
    substitute,
)
from lrdsl.program.program import FOREVER, STEPS
from lrdsl.program.stretch import Piece, Stretch, half_up

START: Any = Derived("peak/25", lambda known: known["peak"] / 25.0)
END: Any = Derived("start/10000", lambda known: known["start"] / 10_000.0)
AS_UP: Any = Derived("up", lambda known: known["up"])
SMALLEST = 2.0**-500
"""A gain of rounds falls no further: after a thousand rounds a product of two rates, over base, would be 0 / 0."""


@segment()
def onecycle(
    at: At,
    n: Steps,
    peak: Rate = BASE,
    up: Ratio = 0.3,
    start: Rate = START,
    end: Rate = END,
    shape: OneCycleShape = "cosine",
) -> Any:
    """One rise to a peak and one fall far below the start.

        lr(t) = start + (peak - start) * g(t / (up*n - 1)),                  t <= up*n - 1
        lr(t) = peak + (end - peak) * g((t - (up*n - 1)) / (n - up*n)),      t <= n - 1

    with g(u) = (1 - cos(pi u))/2 (cosine) or u (linear); the bounds are real numbers.

    First step: ``start``. At t = n - 1 already: ``end``, held.

    Args:
        n: Length, in optimizer steps.
        peak: Highest learning rate.
        up: Share of the length that the rise takes, between 0 and 1; more than one step.
        start: Learning rate at the start.
        end: Learning rate at the end.
        shape: ``cosine`` or ``linear``.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("onecycle(100, up=0.25, start=0, end=0, shape=linear)", base_lr=1.0)
        >>> schedule.lr(0), schedule.lr(12), schedule.lr(24), schedule.lr(99)
        (0.0, 0.5, 1.0, 0.0)

    Raises:
        ScheduleError: The rise takes one step or less.

    Source: torch ``OneCycleLR``; Smith & Topin 2018, https://arxiv.org/abs/1708.07120
    """
    if not up * at.n > 1:
        raise ScheduleError("E0601", f"`up` times `n` of `onecycle` must be greater than 1, got {up * at.n:g}")
    last = int(at.n) - 1
    top = Fraction(up) * (last + 1) - 1
    risen, to_rise = _share(at.t, top)
    to_fall, fallen = _share(last - at.t, last - top)

    def ease(w: Any) -> Any:
        return square(sinpi(w / 2)) if shape == "cosine" else w

    rising = between(start, peak, ease(to_rise), ease(risen))
    falling = between(peak, end, ease(to_fall), ease(fallen))
    return select(at.t >= last, end, select(to_rise >= 0.0, rising, falling))


def _share(steps: Any, length: Fraction) -> tuple[Any, Any]:
    """``steps / length`` and its distance to 1, each rounded once though the length is no double."""
    per_step = 1 / length
    high = float(per_step)
    share, lost = two_product(steps, high)
    lost = lost + steps * float(per_step - Fraction(high))
    return share + lost, (1.0 - share) - lost


@segment()
def cyclic(
    at: At,
    up: Period,
    to: Rate,
    from_: Rate = PREV,
    down: Period = AS_UP,
    gain: NonNegative = 1,
    gamma: Positive = 1,
    n: Steps = ENDLESS,
) -> Any:
    """Triangles: up to ``to`` and down to ``from``, again and again.

        lr(t) = from + (to - from) * w * gain**c * gamma**t

    with c = floor(t / (up + down)), x = t - c*(up + down), and w = x/up while x <= up, then (up + down - x)/down.

    First step: ``from``. After ``n`` steps: the formula at t = n, held.

    Args:
        up: Steps from ``from`` to ``to``, at least 1.
        to: Learning rate at the top.
        from: Learning rate at the bottom. Default: where the segment on the left ended.
        down: Steps back, at least 1.
        gain: Each triangle is this many times as high as the one before.
        gamma: Factor of the height per step.
        n: Length, in optimizer steps. Default: for ever.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("cyclic(4, from=0, to=1x, down=2, gain=0.5)", base_lr=1.0)
        >>> schedule.lr(2), schedule.lr(4), schedule.lr(5), schedule.lr(6), schedule.lr(10)
        (0.5, 1.0, 0.5, 0.0, 0.5)

    Source: torch ``CyclicLR`` (triangular; triangular2: gain 0.5; exp_range: gamma); Smith 2017,
    https://arxiv.org/abs/1506.01186
    """
    period = up + down
    round_ = floor(at.t / period)
    x = at.t - round_ * period
    climbing = x <= up
    height = power(gain, round_) * power(gamma, at.t)
    passed = select(climbing, x / up, (period - x) / down)
    left = select(climbing, (up - x) / up, (x - up) / down)
    return between(from_, to, left + passed * _lost(gain, round_, gamma, at.t), passed * height)


def _lost(gain: float, round_: Any, gamma: float, t: Any) -> Any:
    """``1 - gain**round * gamma**t``, with all its digits where that is near 0."""
    if gain == 0.0:
        return 1.0 - power(gain, round_) * power(gamma, t)
    return -expm1(log(gain) * round_ + log(gamma) * t)


@structure()
def repeat(stage: Stage, times: Times, body: Body, mult: Multiple = 1, gain: NonNegative = 1) -> Stretch:
    """Run a schedule several times: restarts.

        round c = 0 … times - 1 lasts L * mult**c steps (L: the length of ``body``)
        and runs ``body`` at local time t / mult**c, with base and prev times gain**c

    First step: the body's. After the last round: the body's end value, held. Absolute rates in the body stay.

    Args:
        times: Number of rounds, at least 1.
        body: A schedule that ends.
        mult: Each round is this many times longer than the one before; whole, at least 1.
        gain: Each round starts at this multiple of the one before.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("repeat(3, cosine(1000), gain=0.5)", base_lr=1.0)
        >>> schedule.lr(0), schedule.lr(1000), schedule.lr(2000), schedule.lr(3000)
        (1.0, 0.5, 0.25, 0.0)

    Source: Loshchilov & Hutter 2017 (SGDR), https://arxiv.org/abs/1608.03983; keras ``CosineDecayRestarts``.
    """
    return _rounds(stage, times, body, mult, gain)


@structure()
def cycle(stage: Stage, body: Body, mult: Multiple = 1, gain: NonNegative = 1) -> Stretch:
    """Run a schedule for ever: `repeat` without an end.

        round c = 0, 1, … lasts L * mult**c steps (L: the length of ``body``)
        and runs ``body`` at local time t / mult**c, with base and prev times gain**c

    First step: the body's.

    Args:
        body: A schedule that ends.
        mult: Each round is this many times longer than the one before; whole, at least 1.
        gain: Each round starts at this multiple of the one before.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("cycle(linear(10), mult=2)", base_lr=1.0)
        >>> schedule.lr(5), schedule.lr(10), schedule.lr(20), schedule.lr(30)
        (0.5, 1.0, 0.5, 1.0)

    Source: torch ``CosineAnnealingWarmRestarts``; Loshchilov & Hutter 2017 (SGDR), https://arxiv.org/abs/1608.03983
    """
    return _rounds(stage, INF, body, mult, gain)


def _rounds(stage: Stage, times: float, body: Any, mult: int, gain: float) -> Stretch:
    # The body is lowered once, over symbols: a round at any time, and the end of the last one, fill them in.
    clock, lost, pace, growth = fresh(), fresh(), fresh(), fresh() if gain != 1 else const(1)
    prev, base = _times(stage.prev, growth), _times(stage.base, growth)
    one = stage.lower(body, clock=clock, lost=lost, pace=pace, prev=prev, base=base)
    length, name = one.end, "cycle" if times == INF else "repeat"
    if one.endless:
        message = f"the body of `{name}` never ends, so there is no second round"
        raise ScheduleError("E0503", message, body.node.span, "give it a length such as `n=1000`")
    if length == 0:
        raise ScheduleError("E0406", f"the body of `{name}` has no steps", hint="a round lasts at least 1 step")

    def filled(value: Any, index: Any, local: Any, stretch: Any, short: Any) -> Any:
        symbols = {clock.payload: local, lost.payload: short, pace.payload: const(1) * stage.pace * stretch}
        if gain == 1:
            return substitute(value, symbols)
        grown = power(gain, index)
        return substitute(value, symbols | {growth.payload: maximum(grown, SMALLEST) if 0 < gain < 1 else grown})

    t = stage.clock - stage.begin if stage.begin else stage.clock
    if mult == 1:
        index, stretch = floor(t / length), const(1)
        local, short = t - index * length, stage.lost
    else:
        index = round_index(t, length, mult)
        stretch = power(mult, index)
        ticks = t - round_start(t, length, mult)
        local = ticks / stretch
        short = _short(ticks, local, stretch, mult, stage.lost)
    value = filled(one.flatten(clock), index, local, stretch, short)
    marks = tuple(stage.begin + edge for piece in one.pieces for edge in (piece.end, *piece.marks))
    if times == INF:
        piece = Piece(stage.begin, FOREVER, value, value, stage.origin, marks)
        return Stretch((piece,), stage.begin, FOREVER, Fraction(FOREVER), value)
    steps = _sum_of_lengths(length, int(times), mult)
    end, exact = half_up(stage.position + steps), stage.position + steps
    if end >= STEPS:
        raise ScheduleError("E0404", f"`{name}` would end beyond step 2**53 - 1")
    last = filled(one.out, const(times - 1), const(length), power(mult, const(times - 1)), const(0))
    out = substitute(last, {"step": stage.now(end)})
    piece = Piece(stage.begin, end, value, out, stage.origin, marks)
    return Stretch((piece,), stage.begin, end, exact, out)


def _sum_of_lengths(length: int, times: int, mult: int) -> int:
    if mult == 1:
        return length * times
    rounds = min(times, 64)  # 64 rounds are longer than any clock counts: refused, whatever follows
    total: int = length * ((mult**rounds - 1) // (mult - 1))
    return total


def _short(ticks: Any, local: Any, stretch: Any, mult: int, lost: Any) -> Any:
    """What rounding took from the quotient ``local``: near the end of a round it would be all that counts."""
    if mult & (mult - 1) == 0:  # powers of 2 divide exactly
        return lost if lost.constant == 0.0 else lost / stretch
    high, low = two_product(local, stretch)
    return (((ticks - high) - low) + lost) / stretch


def _times(rate: Any, growth: Any) -> Any:
    return rate if growth.constant == 1.0 or rate.constant == 0.0 else rate * growth
