"""The state of a Program while it is made: slots, the machines that own them, metrics."""

from dataclasses import dataclass

from lrdsl.language.recovery import Errors
from lrdsl.primitives.signature import ObservedModifier
from lrdsl.program.expr import Expr, state


@dataclass(frozen=True, slots=True)
class TracedMachine:
    """A machine before assembly."""

    metric: int
    begin: int
    end: int
    slot: int
    update: list[Expr]


class Memory:
    """What grows while a Program is made: slots, machines, metrics, and what is wrong."""

    def __init__(self, errors: Errors) -> None:
        self.errors = errors
        self.state: list[float] = []
        self.slots: list[str] = []
        self.metrics: list[str] = []
        self.machines: list[TracedMachine] = []

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
