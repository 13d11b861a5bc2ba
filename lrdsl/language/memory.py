"""The state of a Program while it is made: slots, the machines that own them, metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lrdsl.language.bound import BoundSegment
from lrdsl.language.recovery import Errors
from lrdsl.primitives.signature import Modifier, ObservedModifier
from lrdsl.program.expr import Expr, state
from lrdsl.program.stretch import Stretch
from lrdsl.syntax.tree import Call


@dataclass(frozen=True, slots=True)
class TracedMachine:
    """A machine before assembly."""

    metric: int
    begin: int
    end: int
    slot: int
    update: list[Expr]


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

    def claim(self, primitive: ObservedModifier) -> tuple[int, dict[str, Expr]]:
        """Fresh slots for one modifier, named ``plateau.best``, a second one's ``plateau2.best``."""
        first = len(self.state)
        count = 1 + sum(
            name.endswith(f".{next(iter(primitive.slots))}") and name.startswith(primitive.name) for name in self.slots
        )
        prefix = primitive.name if count == 1 else f"{primitive.name}{count}"
        self.state.extend(float(value) for value in primitive.slots.values())
        self.slots.extend(f"{prefix}.{name}" for name in primitive.slots)
        return first, {name: state(first + i) for i, name in enumerate(primitive.slots)}

    def metric(self, name: str) -> int:
        """The number of a metric."""
        if name not in self.metrics:
            self.metrics.append(name)
        return self.metrics.index(name)
