"""`Stretch`: a schedule on a clock, between text and code.

A schedule is a list of pieces, each a formula over a range of steps, and the value
that flows on at its end. The root schedule's pieces become the segment table of the
Program; a schedule on a clock of its own (the body of `repeat`) is flattened into
SELECTs on that clock.
"""

import itertools
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from lrdsl.program.expr import Expr, select
from lrdsl.program.program import CODE, FOREVER, too_large


def half_up(value: Fraction) -> int:
    """The nearest whole number, halves up."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


@dataclass(frozen=True, slots=True)
class Piece:
    """One formula over ``[begin, end)``.

    `out` is its value at `end`, `origin` the tree node it came from, `modifiers` the calls that changed it since,
    `marks` steps inside it where the formula changes (the boundaries of the first round of a `repeat`).
    """

    begin: int
    end: int
    value: Expr
    out: Expr
    origin: Any
    marks: tuple[int, ...] = ()
    modifiers: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive pieces over ``[begin, end)``.

    `out` is the value at `end`, where it flows into what follows and is held for ever. `exact` is the
    end before rounding, so that the lengths of a sequence add up without drift.
    """

    pieces: tuple[Piece, ...]
    begin: int
    end: int
    exact: Fraction
    out: Expr

    @property
    def endless(self) -> bool:
        """Does it run for ever?"""
        return self.end == FOREVER

    def map(self, change: Callable[[Expr], Expr], modifier: Any) -> "Stretch":
        """The same stretch with every value changed alike, by a modifier's call."""
        pieces = tuple(
            replace(p, value=change(p.value), out=change(p.out), modifiers=(*p.modifiers, modifier))
            for p in self.pieces
        )
        return replace(self, pieces=pieces, out=change(self.out))

    def at(self, begin: int) -> Piece:
        """The piece that holds step `begin`; past the end, the held value."""
        if begin >= self.end:
            return Piece(self.end, FOREVER, self.out, self.out, None)
        return self.pieces[bisect_right(self.pieces, begin, key=lambda piece: piece.begin) - 1]

    def flatten(self, clock: Expr) -> Expr:
        """One formula for the whole stretch: a balanced tree of SELECTs on `clock`."""

        def choose(pieces: Sequence[Piece]) -> Expr:
            if len(pieces) == 1:
                return pieces[0].value
            middle = len(pieces) // 2
            chosen: Expr = select(clock < pieces[middle].begin, choose(pieces[:middle]), choose(pieces[middle:]))
            return chosen

        return choose(self.pieces) if self.pieces else self.out


def join(parts: Sequence[Stretch]) -> Stretch:
    """One stretch after another; they must touch."""
    pieces = tuple(piece for part in parts for piece in part.pieces)
    return replace(parts[-1], pieces=pieces, begin=parts[0].begin)


def combine(
    parts: Sequence[Stretch],
    operation: Callable[..., Expr],
    origin: Callable[..., Any],
    at: Callable[[Expr, int], Expr],
) -> Stretch:
    """Point by point: as long as the longest part, a shorter one holds its end value; `at` gives a value at a step."""
    longest = max(parts, key=lambda part: (part.end, part.exact))
    edges = sorted({piece.begin for part in parts for piece in part.pieces} | {part.end for part in parts})
    if len(edges) * len(parts) > 2 * CODE:  # as many operations, but for what folds: too many to even try
        raise too_large()
    pieces = []
    for begin, end in itertools.pairwise(edges):
        here = [part.at(begin) for part in parts]
        outs = [p.out if p.end == end else at(p.value, end) for p in here]
        value, out = operation(*(p.value for p in here)), operation(*outs)
        marks = tuple(mark for p in here for mark in p.marks if begin < mark < end)
        pieces.append(Piece(begin, end, value, out, origin(*here), marks))
    return replace(longest, pieces=tuple(pieces), out=operation(*(part.out for part in parts)))
