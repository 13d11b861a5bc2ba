"""The state of a Program while it is made: slots, the machines that own them, metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lrdsl.language.bound import BoundSegment
from lrdsl.language.recovery import Errors
from lrdsl.primitives.signature import Modifier, ObservedModifier, Past
from lrdsl.program.expr import Expr, postorder, state
from lrdsl.program.program import STACK
from lrdsl.program.stretch import Stretch
from lrdsl.syntax.tree import Call

WIDTH = STACK // 2
"""Slots that one run of code renews: it leaves them on the stack, and needs room to compute."""


@dataclass(frozen=True, slots=True)
class TracedMachine:
    """A machine before assembly."""

    metric: int
    begin: int
    end: int
    slot: int
    update: list[Expr]
    skipped: bool


@dataclass(frozen=True, slots=True)
class Placed:
    """A segment where it stands on a clock, with its arguments."""

    bound: BoundSegment
    begin: int
    end: int
    arguments: Mapping[str, Any]
    value: Expr
    out: Expr
    clock: Expr


@dataclass(frozen=True, slots=True)
class Changed:
    """A modifier where it stands on a clock, with its arguments and what is on its left."""

    primitive: Modifier
    call: Call
    arguments: Mapping[str, Any]
    body: Stretch
    clock: Expr


class Memory:
    """What grows while a Program is made: slots, machines, metrics, what is wrong, and what stands where."""

    def __init__(self, errors: Errors) -> None:
        self.errors = errors
        self.state: list[float] = []
        self.slots: list[str] = []
        self.metrics: list[str] = []
        self.machines: list[TracedMachine] = []
        self.placed: list[Placed] = []
        self.changed: list[Changed] = []

    def claim(self, primitive: ObservedModifier, arguments: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Fresh slots for one modifier, named ``plateau.best``, a second one's ``plateau2.best``.

        Returns:
            The first slot, and all by name: an `Expr`, or a tuple of them where there is a `Past`.
        """
        first = len(self.state)
        count = 1 + sum(
            name.endswith(f".{next(iter(primitive.slots))}") and name.startswith(primitive.name) for name in self.slots
        )
        prefix = primitive.name if count == 1 else f"{primitive.name}{count}"
        cells: dict[str, Any] = {}
        for name, value in primitive.slots.items():
            if isinstance(value, Past):
                numbers = range(1, arguments[value.argument])
                cells[name] = tuple(self._slot(f"{prefix}.{name}{number}", 0.0) for number in numbers)
            else:
                cells[name] = self._slot(f"{prefix}.{name}", float(value))
        return first, cells

    def _slot(self, name: str, value: float) -> Expr:
        self.state.append(value)
        self.slots.append(name)
        return state(len(self.state) - 1)

    def listen(self, metric: str, begin: int, end: int, slot: int, update: list[Expr], skipped: bool) -> None:
        """Let reports made in a scope renew the slots from `slot` on.

        Many slots are renewed by several machines in turn. That is the same as all at once because no slot is computed
        from one before its own machine's, which would be new already.
        """
        number = self.metric(metric)
        for at in range(0, len(update), WIDTH):
            part = update[at : at + WIDTH]
            assert not any(_reads(value, range(slot, slot + at)) for value in part), "a slot depends on an earlier one"
            self.machines.append(TracedMachine(number, begin, end, slot + at, part, skipped))

    def metric(self, name: str) -> int:
        """The number of a metric."""
        if name not in self.metrics:
            self.metrics.append(name)
        return self.metrics.index(name)


def _reads(value: Expr, slots: range) -> bool:
    return bool(slots) and any(node.operation == "STATE" and node.payload in slots for node in postorder(value))
