"""What a metric-driven modifier is given: a report, and its memory of former ones."""

from dataclasses import dataclass
from typing import Any

from lrdsl.program.expr import Expr


@dataclass(frozen=True, slots=True)
class Report:
    """One observed value, and the update it was made before."""

    value: Expr
    step: Expr
    base: Any


class State:
    """The slots of one modifier, by name, as traced numbers; a tuple of them where it declared a `Past`."""

    def __init__(self, slots: dict[str, Any]) -> None:
        self.__dict__.update(slots)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no state slot `{name}`; declare it in @observed(...)")
