"""What a part of the tree is evaluated in: the run, the clock, and where on it the part begins."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache, wraps
from typing import Any

from lrdsl.syntax.tree import Let, Name, Node

from .numbers import InvalidTextError, Real, half_up, mp, real

Exact = Any  # a Fraction, or math.inf


@dataclass(frozen=True)
class Run:
    """The context of a text (section 9), its `let`s, and the reports so far: (metric, value, step)."""

    total: int | None = None
    units: Mapping[str, float | None] = field(default_factory=dict)
    params: Mapping[str, float] = field(default_factory=dict)
    lets: Mapping[str, Node] = field(default_factory=dict)
    reports: Sequence[tuple[str, float, int]] = ()

    @property
    def steps(self) -> Fraction:
        if self.total is None:
            raise InvalidTextError("E0401", "total_steps")
        return Fraction(self.total)

    def resolve(self, node: Node) -> Node:
        """`let` binds afresh at each use: a name stands for its tree (section 3, names)."""
        while isinstance(node, Name) and node.id in self.lets:
            node = self.lets[node.id]
        return node


def lets(statements: Sequence[Node]) -> dict[str, Node]:
    return {each.name: each.value for each in statements if isinstance(each, Let)}


@dataclass(frozen=True)
class Clock:
    """Where local time 0 stands on the schedule's own clock, and how many steps one unit of it lasts."""

    origin: Fraction = Fraction(0)
    stretch: Fraction = Fraction(1)
    nested: bool = False  # inside `repeat` or `cycle`

    def step(self, time: Exact) -> Fraction:
        return self.origin + self.stretch * time


@dataclass(frozen=True, eq=False)
class Place:
    """A node that begins at `begin` (exact) on a clock, entered with the rate `prev()`."""

    node: Node
    run: Run
    base: Callable[[], Real]
    prev: Callable[[], Real]
    begin: Exact = Fraction(0)
    goal: Exact | None = None  # where `rest` ends; None where `rest` has no meaning
    clock: Clock = Clock()
    window: tuple[Exact, Exact] = (0, math.inf)  # what enclosing modifiers leave of the scope
    fixed_end: Exact | None = None  # of the parts of `wsd`
    memory: dict[Any, Any] = field(init=False, repr=False, default_factory=dict)

    def at(self, node: Node, **changes: Any) -> Place:
        """Another node here; the same one again if nothing else differs."""
        if changes:
            return replace(self, node=node, fixed_end=None, **changes)
        if id(node) not in self.memory:
            self.memory[id(node)] = replace(self, node=node, fixed_end=None)
        return self.memory[id(node)]

    @property
    def first(self) -> int:
        """The step it begins on: running sums are rounded half-up (section 3)."""
        return half_up(self.begin)


def once(function: Callable[..., Any]) -> Callable[..., Any]:
    """Worked out once for a place: nothing but time."""

    @wraps(function)
    def remembered(place: Place, *arguments: Any) -> Any:
        key = function.__name__, *arguments
        if key not in place.memory:
            place.memory[key] = function(place, *arguments)
        return place.memory[key]

    return remembered


def known(x: float | Real) -> Callable[[], Real]:
    value = real(x) if isinstance(x, float) else x
    return lambda: value


def lazily(function: Callable[..., Real], *arguments: Any) -> Callable[[], Real]:
    """A rate that is worked out when it is asked for, once: `prev` of a segment that names its own start is not."""
    return cache(lambda: function(*arguments))


def missing_base() -> Real:
    raise InvalidTextError("E0401", "base")


def times(rate: Callable[[], Real], factor: Real) -> Callable[[], Real]:
    return cache(lambda: rate() * mp.mpf(factor))
