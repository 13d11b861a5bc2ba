"""A whole text: targets, groups, bases (sections 7 and 9), and what is checked before it runs (section 8)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lrdsl.syntax.parser import parse
from lrdsl.syntax.tree import Assign, Bare, Binary, Call, Name, Negate, Pipe, Then

from .arguments import POINTWISE, is_schedule
from .lengths import body, end, last, left, modifier, operands, parts, wsd_parts
from .numbers import InvalidTextError, Real
from .places import Place, Run, known, lets, missing_base
from .segments import segment, starts_frozen
from .values import bounds, value

Key = tuple[str, str | int | None]


class Schedule:
    """What `lrdsl.compile` takes, and what it must answer."""

    def __init__(
        self,
        text: str,
        *,
        base_lr: float,
        total_steps: int | None = None,
        params: Mapping[str, float] | None = None,
        bases: Mapping[str, float] | None = None,
        **units: float | None,
    ) -> None:
        script = parse(text)
        self.run = Run(total_steps, units, params or {}, lets(script.statements))
        self.bases = {"lr": base_lr, **(bases or {})}
        self.trees: dict[Key, Any] = {}
        self.roots: dict[Key, tuple[Sequence, Place]] = {}
        for each in script.statements:
            match each:
                case Assign(target=target):
                    self.trees[target.name, target.group] = each.value
                case Bare():
                    self.trees["lr", None] = each.value
        for key, tree in self.trees.items():
            if not is_schedule(tree, self.run):
                raise InvalidTextError("E0309")
            check(self.place(*key))

    def place(self, target: str, group: str | int | None = None) -> Place:
        """The root: exact group over the unindexed schedule; its own base, the sequence from step 0."""
        tree = self.trees.get((target, group), self.trees.get((target, None)))
        base = self.base(target, group)
        return Place(tree, self.run, base, base, goal=None if self.run.total is None else self.run.steps)

    def base(self, target: str, group: str | int | None) -> Callable[[], Real]:
        found = self.bases.get(f"{target}[{group}]", self.bases.get(target))
        return missing_base if found is None else known(float(found))

    def value(
        self,
        target: str,
        step: int,
        group: str | int | None = None,
        reports: Sequence[tuple[str, float, int]] = (),
        *,
        fresh: bool = False,
    ) -> Real:
        """After `reports`; `fresh` remembers nothing of the last call."""
        known = self.roots.get((target, group))
        if known is None or known[0] is not reports or fresh:
            place = self.place(target, group)
            known = self.roots[target, group] = reports, replace(place, run=replace(self.run, reports=reports))
        return value(known[1], step)

    def lr(self, step: int, reports: Sequence[tuple[str, float, int]] = ()) -> Real:
        return self.value("lr", step, reports=reports)

    def length(self, target: str = "lr", group: str | int | None = None) -> float:
        return last(self.place(target, group))

    def boundaries(self, target: str = "lr", group: str | int | None = None) -> list[int]:
        """Where something begins or ends on the schedule's own clock (of a `repeat`: its first round)."""
        found = set()
        for leaf in leaves(self.place(target, group)):
            ends = [leaf.first] if last(leaf) == math.inf else [leaf.first, last(leaf)]
            found |= {int(leaf.clock.step(each)) for each in ends}
        return sorted(each for each in found if each >= 0)


def inside(place: Place) -> list[Place] | None:
    """What `place` is made of; None for a segment."""
    match place.node:
        case Name(id=name):
            return [place.at(place.run.lets[name])]
        case Then():
            return parts(place)
        case Pipe():
            return [left(place)]
        case Call(function="repeat" | "cycle"):
            return [body(place, 0)]
        case Call(function="wsd"):
            return wsd_parts(place)
        case Binary() | Negate():
            return operands(place)
        case Call(function=function) if function in POINTWISE:
            return operands(place)
    return None


def leaves(place: Place) -> Iterator[Place]:
    below = inside(place)
    if below is None:
        yield place
    for each in below or ():
        yield from leaves(each)


def check(place: Place) -> None:
    """Lengths, arguments and frozen segments, whether or not a step reaches them (section 8)."""
    if end(place) != math.inf and last(place) < 1:
        raise InvalidTextError("E0406")
    for leaf in leaves(place):
        if 2**53 <= leaf.clock.step(end(leaf)) < math.inf:
            raise InvalidTextError("E0404")
        if leaf.node.function not in ("repeat", "cycle"):
            stop = last(leaf)
            n = stop if stop == math.inf else stop - leaf.first
            segment(leaf, 0 * leaf.begin, n)
            if starts_frozen(leaf, n):
                raise InvalidTextError("E0608", leaf.node.function)
    nested(place)


def nested(place: Place) -> None:
    """Every modifier is asked once, at its begin."""
    for each in inside(place) or ():
        nested(each)
    if isinstance(place.node, Pipe | Binary | Call):
        value(place, place.first)
    if isinstance(place.node, Pipe) and place.node.right.function == "clamp":
        low, high = bounds(modifier(place))
        if low > high:  # here; in a later round of `repeat` it may be
            raise InvalidTextError("E0601")
