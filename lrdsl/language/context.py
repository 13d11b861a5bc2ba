"""What a text is bound to: the length of the run, the units, and named numbers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from numbers import Integral, Real
from typing import Any

from lrdsl.errors import ScheduleError

UNIT_KEYWORDS = {"ep": "steps_per_epoch", "tok": "tokens_per_step", "smp": "samples_per_step", "%": "total_steps"}


@dataclass(frozen=True, slots=True)
class Context:
    """The keyword arguments of ``compile``, checked, and the rates that flow into the first segment if not the base."""

    base_lr: float | None = None
    total_steps: int | None = None
    steps_per_epoch: float | None = None
    tokens_per_step: float | None = None
    samples_per_step: float | None = None
    params: Mapping[str, float] = field(default_factory=dict)
    bases: Mapping[str, float] = field(default_factory=dict)
    prevs: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        total = self.total_steps
        if total is not None and (not isinstance(total, Integral) or isinstance(total, bool) or not 1 <= total < 2**53):
            most = " and below 2**53" if isinstance(total, Integral) and total > 1 else ""
            raise ScheduleError("E0402", f"expected total_steps to be a whole number >= 1{most}, got {total!r}")
        for name in ("steps_per_epoch", "tokens_per_step", "samples_per_step"):
            value = getattr(self, name)
            if value is not None and not (_finite(value) and value > 0):
                raise ScheduleError("E0402", f"expected {name} to be a number > 0, got {value!r}")
        named = {"base_lr": self.base_lr} if self.base_lr is not None else {}
        named |= {f"params[{name!r}]": value for name, value in self.params.items()}
        named |= {f"bases[{name!r}]": value for name, value in self.bases.items()}
        named |= {f"prevs[{name!r}]": value for name, value in self.prevs.items()}
        for name, value in named.items():
            if not _finite(value):
                raise ScheduleError("E0402", f"expected {name} to be a finite number, got {value!r}")
            if value < 0 and not name.startswith("params"):
                raise ScheduleError("E0402", f"expected {name} to be >= 0, got {value!r}")

    def steps(self, unit: str) -> Fraction | None:
        """Steps in one of `unit`, exactly; None if the context does not say."""
        value = getattr(self, UNIT_KEYWORDS[unit])
        if value is None:
            return None
        exact = Fraction(value)
        return exact / 100 if unit == "%" else exact if unit == "ep" else 1 / exact

    def base(self, target: str, group: str | int | None) -> float | None:
        """The base of a target and group: the most exact one that is known."""
        keys = ([f"{target}[{group}]"] if group is not None else []) + [target]
        found = next((float(self.bases[key]) for key in keys if key in self.bases), None)
        if found is None and target == "lr" and self.base_lr is not None:
            return float(self.base_lr)
        return found

    def prev(self, target: str) -> float | None:
        """The value that flows into the first segment of a target; None: its base."""
        return float(self.prevs[target]) if target in self.prevs else None

    def plain(self) -> dict[str, float | int]:
        """Plain numbers by name, for checkpoints."""
        names = ("base_lr", "total_steps", "steps_per_epoch", "tokens_per_step", "samples_per_step")
        given: dict[str, float | int] = {}
        for name in names:
            value = getattr(self, name)
            if value is not None:
                given[name] = int(value) if name == "total_steps" else float(value)
        given |= {f"param {name}": float(value) for name, value in sorted(self.params.items())}
        given |= {f"base {name}": float(value) for name, value in sorted(self.bases.items())}
        return given | {f"prev {name}": float(value) for name, value in sorted(self.prevs.items())}


def _finite(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
