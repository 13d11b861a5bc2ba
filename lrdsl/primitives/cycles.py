"""Segments that run another schedule again and again, on a clock of their own."""

from fractions import Fraction
from typing import Any, Protocol

from lrdsl.errors import ScheduleError
from lrdsl.primitives.signature import INF, Body, Multiple, NonNegative, Times, structure
from lrdsl.program.expr import const, floor, fresh, power, round_index, round_start, substitute
from lrdsl.program.program import FOREVER, STEPS
from lrdsl.program.stretch import Piece, Stretch, half_up


class Stage(Protocol):
    """Where a structural primitive stands, and how it lowers what it was given: what ``language/place.py`` offers."""

    clock: Any
    position: Fraction
    pace: Any
    begin: int
    prev: Any
    base: Any
    origin: Any

    def now(self, step: int) -> Any:
        """The schedule's own clock when this clock shows `step`."""
        ...

    def lower(self, body: Any, *, clock: Any, pace: Any, prev: Any, base: Any) -> Stretch:
        """`body` from step 0 of `clock`."""
        ...


@structure
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


@structure
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
    clock, pace, growth = fresh(), fresh(), fresh() if gain != 1 else const(1)
    one = stage.lower(body, clock=clock, pace=pace, prev=_times(stage.prev, growth), base=_times(stage.base, growth))
    length, name = one.end, "cycle" if times == INF else "repeat"
    if one.endless:
        message = f"the body of `{name}` never ends, so there is no second round"
        raise ScheduleError("E0503", message, body.node.span, "give it a length such as `n=1000`")
    if length == 0:
        raise ScheduleError("E0406", f"the body of `{name}` has no steps", hint="a round lasts at least 1 step")

    def filled(value: Any, index: Any, local: Any, stretch: Any) -> Any:
        symbols = {clock.payload: local, pace.payload: const(1) * stage.pace * stretch}
        return substitute(value, symbols if gain == 1 else symbols | {growth.payload: power(gain, index)})

    t = stage.clock - stage.begin if stage.begin else stage.clock
    if mult == 1:
        index, stretch = floor(t / length), const(1)
        local = t - index * length
    else:
        index = round_index(t, length, mult)
        stretch = power(mult, index)
        local = (t - round_start(t, length, mult)) / stretch
    value = filled(one.flatten(clock), index, local, stretch)
    marks = tuple(stage.begin + edge for piece in one.pieces for edge in (piece.end, *piece.marks))
    if times == INF:
        piece = Piece(stage.begin, FOREVER, value, value, stage.origin, marks)
        return Stretch((piece,), stage.begin, FOREVER, Fraction(FOREVER), value)
    steps = _sum_of_lengths(length, int(times), mult)
    end, exact = half_up(stage.position + steps), stage.position + steps
    if end >= STEPS:
        raise ScheduleError("E0404", f"`{name}` would end beyond step 2**53 - 1")
    last = filled(one.out, const(times - 1), const(length), power(mult, const(times - 1)))
    out = substitute(last, {"step": stage.now(end)})
    piece = Piece(stage.begin, end, value, out, stage.origin, marks)
    return Stretch((piece,), stage.begin, end, exact, out)


def _sum_of_lengths(length: int, times: int, mult: int) -> int:
    if mult == 1:
        return length * times
    rounds = min(times, 64)  # 64 rounds are longer than any clock counts: refused, whatever follows
    total: int = length * ((mult**rounds - 1) // (mult - 1))
    return total


def _times(rate: Any, growth: Any) -> Any:
    return rate if growth.constant == 1.0 or rate.constant == 0.0 else rate * growth
