"""Modifiers that change when their left side runs, and how long."""

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Any, Protocol

from lrdsl.errors import ScheduleError
from lrdsl.primitives import ramps
from lrdsl.primitives.at import At
from lrdsl.primitives.signature import DecayShape, ExactSteps, Offset, Period, Rate, reshaping
from lrdsl.program.expr import Expr, const, floor
from lrdsl.program.stretch import Piece, Stretch, half_up
from lrdsl.syntax import tree

RAMPS: dict[str, Any] = {"linear": ramps.linear, "cosine": ramps.cosine, "one_minus_sqrt": ramps.one_minus_sqrt}
"""The ways down, as `DecayShape` names them."""


class Site(Protocol):
    """Where a modifier of time stands, and how it places its left side: what ``language/place.py`` offers."""

    clock: Any
    position: Fraction
    total: int | None
    absolute: bool
    origin: Any
    begin: int

    def put(self, body: Any) -> Stretch:
        """`body`, placed here."""
        ...

    def earlier(self, steps: int) -> "Site":
        """The same place, so many steps to the left."""
        ...

    def at(self, value: Expr, step: Any) -> Expr:
        """`value` when this clock shows `step`."""
        ...


@reshaping
def take(site: Site, body: Any, n: ExactSteps) -> Stretch:
    """The first ``n`` steps of a schedule.

        lr(t) = v(t),   0 <= t < n,   v the left side

    First step: the left side's. After ``n`` steps: v(n), held. Past the end of a shorter left side its end value is
    held.

    Args:
        n: Steps that are kept.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("(exponential(0.5) | take(2)) >> linear(2)", base_lr=1.0)
        >>> [schedule.lr(t) for t in range(5)]
        [1.0, 0.5, 0.25, 0.125, 0.0]

    Source: optax ``join_schedules``, whose boundaries cut what runs before them.
    """
    whole = site.put(body)
    made = _named(site, _ended(site, whole, site.position + n))
    if made.end <= whole.end:
        return made
    held = tree.Call("hold", (), span=site.origin.span, function_span=site.origin.span)
    return replace(made, pieces=(*made.pieces, Piece(whole.end, made.end, whole.out, whole.out, held)))


@reshaping
def skip(site: Site, body: Any, n: Offset) -> Stretch:
    """A schedule without its first ``n`` steps.

        lr(t) = v(t + n),   v the left side

    First step: v(n). After the left side's length less ``n``: the left side's end value, held.

    Args:
        n: Steps that are left out, rounded half-up.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("warmup(4) | skip(1)", base_lr=1.0)
        >>> [schedule.lr(t) for t in range(4)]
        [0.25, 0.5, 0.75, 1.0]

    Raises:
        ScheduleError: ``n`` is longer than the left side.

    Source: llm.c and schedule-free count a warm-up from 1: ``warmup(11) | skip(1)``.
    """
    whole = site.earlier(n).put(body)
    if whole.end < site.begin:
        message = f"`skip` leaves out {n} steps; the schedule on its left has {whole.end - whole.begin}"
        raise ScheduleError("E0409", message)
    return _named(site, replace(whole, pieces=_cut(site, whole.pieces, site.begin, whole.end), begin=site.begin))


@reshaping
def sample(site: Site, body: Any, every: Period) -> Stretch:
    """Look at a schedule only every few steps, and keep the rate in between.

        lr(t) = v(floor(t / every) * every),   v the left side

    First step: the left side's. After its end: v at the last whole multiple of ``every``, held.

    Args:
        every: Steps between two looks, at least 1.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("linear(4) | sample(2)", base_lr=1.0)
        >>> [schedule.lr(t) for t in range(5)]
        [1.0, 1.0, 0.5, 0.5, 0.0]

    Source: schedulers that are stepped once an epoch, such as torch's.
    """
    whole = site.put(body)
    passed = site.clock - whole.begin if whole.begin else site.clock
    look = floor(passed / every) * every
    look = look + whole.begin if whole.begin else look
    pieces, group = [], []
    for piece in whole.pieces:
        group.append(piece)
        due = (piece.end - whole.begin) % every == 0  # what starts now is looked at from its first step
        if not due and piece is not whole.pieces[-1]:
            continue
        first, together = group[0], replace(whole, pieces=tuple(group))
        value = site.at(together.flatten(site.clock), look)
        out = piece.out if due or whole.endless else site.at(value, piece.end)
        marks = (first.begin + every, *(edge for p in group for edge in (p.begin, *p.marks)))
        marks = tuple(mark for mark in marks if first.begin < mark < piece.end)
        alone = first if len(group) == 1 else Piece(first.begin, piece.end, value, out, body.node)
        pieces.append(replace(alone, value=value, out=out, marks=marks))
        group = []
    # Past the last look at a whole multiple, what has no steps at the end may have changed the value.
    looks = whole.endless or (whole.end - whole.begin) % every == 0
    return _named(site, replace(whole, pieces=tuple(pieces), out=whole.out if looks else pieces[-1].out))


@reshaping
def cooldown(site: Site, body: Any, n: Offset, to: Rate = 0, shape: DecayShape = "linear") -> Stretch:
    """Bring any schedule down to ``to`` over its last ``n`` steps.

        lr(t) = to + (v(t) - to) * w(t) over the last n steps,   v the left side

    with w = l (linear), sin(pi l / 2)**2 (cosine), 1 - sqrt(1 - l) (one_minus_sqrt), l the share of the ``n`` steps
    that is left.

    First step: the left side's. At the end: ``to``, held. A left side that never ends is ended at ``total``.

    Args:
        n: Length of the cooldown, rounded half-up.
        to: Learning rate at the end.
        shape: ``linear``, ``cosine`` or ``one_minus_sqrt``.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("hold() | cooldown(2)", base_lr=1.0, total_steps=4)
        >>> [schedule.lr(t) for t in range(5)]
        [1.0, 1.0, 1.0, 0.5, 0.0]

    Raises:
        ScheduleError: ``n`` is longer than the left side, or the left side never ends and ``total_steps`` is not set.

    Source: big_vision; Zhai et al. 2022, https://arxiv.org/abs/2106.04560
    """
    whole = site.put(body)
    if whole.endless:
        whole = _ended(site, whole, _total(site))
    begin, end = whole.end - n, whole.end
    if begin < whole.begin:
        message = f"`cooldown` takes {n} steps; the schedule on its left has {max(end - whole.begin, 0)}"
        raise ScheduleError("E0409", message)

    def cooled(value: Expr, clock: Any) -> Any:
        return RAMPS[shape](At(clock - begin, n, value, None), n=n, to=to, from_=value)

    within = _cut(site, whole.pieces, begin, end)
    pieces = tuple(replace(p, value=cooled(p.value, site.clock), out=cooled(p.out, p.end)) for p in within)
    out = to if isinstance(to, Expr) else const(to)
    cooling = _named(site, replace(whole, begin=begin, pieces=pieces, out=out))
    return replace(cooling, begin=whole.begin, pieces=(*_cut(site, whole.pieces, whole.begin, begin), *cooling.pieces))


def _total(site: Site) -> Fraction:
    if not site.absolute:
        message = "`cooldown` cannot tell here where the schedule on its left ends"
        raise ScheduleError("E0407", message, hint="give that schedule a length")
    if site.total is None:
        message = "`cooldown` of a schedule that never ends needs total_steps, which is not set"
        raise ScheduleError("E0401", message, hint="pass `total_steps=...`")
    return Fraction(site.total)


def _ended(site: Site, whole: Stretch, exact: Fraction) -> Stretch:
    """`whole` until `exact`: cut there, or longer by what is held."""
    end = half_up(exact)
    pieces = _cut(site, whole.pieces, whole.begin, end)
    out = site.at(whole.at(end).value, end) if end < whole.end else whole.out
    return replace(whole, pieces=pieces, end=end, exact=exact, out=out)


def _cut(site: Site, pieces: Iterable[Piece], begin: int, end: int) -> tuple[Piece, ...]:
    """What of the pieces lies in ``[begin, end)``."""
    kept = []
    for piece in pieces:
        if piece.begin >= end or piece.end <= begin:
            continue
        out = piece.out if piece.end <= end else site.at(piece.value, end)
        marks = tuple(mark for mark in piece.marks if begin < mark < end)
        kept.append(replace(piece, begin=max(piece.begin, begin), end=min(piece.end, end), out=out, marks=marks))
    return tuple(kept)


def _named(site: Site, stretch: Stretch) -> Stretch:
    """The same stretch, its pieces marked with this modifier's call."""
    return stretch.map(lambda value: value, site.origin)
