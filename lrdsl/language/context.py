"""What a text is bound to: the length of the run, the units, and named numbers."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from numbers import Integral, Real
from typing import Any

from lrdsl.errors import ScheduleError
from lrdsl.language.hints import suggestion
from lrdsl.program.program import STEPS

TARGETS = ("lr", "weight_decay", "momentum", "dampening", "beta1", "beta2", "eps")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
KEYWORDS = ("let", "true", "false", "rest", "none")
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
        if total is not None:
            if not isinstance(total, Integral) or isinstance(total, bool) or not 1 <= total < STEPS:
                most = " and below 2**53" if isinstance(total, Integral) and total > 1 else ""
                raise ScheduleError(
                    "E0402", f"expected total_steps to be a whole number >= 1{most}, got {shown(total)}"
                )
            self._keep("total_steps", int(total))
        for name in ("steps_per_epoch", "tokens_per_step", "samples_per_step"):
            if (value := getattr(self, name)) is not None:
                exact = _number(name, value, "a number > 0")
                if not exact > 0:
                    raise ScheduleError("E0402", f"expected {name} to be a number > 0, got {shown(value)}")
                self._keep(name, exact)
        if self.base_lr is not None:
            self._keep("base_lr", _rate("base_lr", self.base_lr))
        self._keep(
            "params",
            {_name(name): _number(f"params[{shown(name)}]", x) for name, x in _mapping("params", self.params).items()},
        )
        self._keep(
            "bases",
            {_target(key): _rate(f"bases[{shown(key)}]", x) for key, x in _mapping("bases", self.bases).items()},
        )
        self._keep("prevs", {str(key): _rate(f"prevs[{shown(key)}]", x) for key, x in self.prevs.items()})

    def _keep(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # frozen for everybody else

    def steps(self, unit: str) -> Fraction | None:
        """Steps in one of `unit`, exactly; None if the context does not say."""
        value = getattr(self, UNIT_KEYWORDS[unit])
        if value is None:
            return None
        exact = Fraction(value)
        return exact / 100 if unit == "%" else exact if unit == "ep" else 1 / exact

    def base(self, target: str, group: str | int | None) -> float | None:
        """The base of a target and group: the most exact one that is known."""
        keys = (key_of(target, group), target)
        found = next((self.bases[key] for key in keys if key in self.bases), None)
        return self.base_lr if found is None and target == "lr" else found

    def groups(self, target: str) -> list[str | int]:
        """The groups that have a base of their own for a target."""
        return [_group(key.partition("[")[2][:-1]) for key in self.bases if key.startswith(f"{target}[")]

    def prev(self, target: str) -> float | None:
        """The value that flows into the first segment of a target; None: its base."""
        return self.prevs.get(target)

    def plain(self) -> dict[str, float | int]:
        """Plain numbers by name, for checkpoints."""
        names = ("base_lr", "total_steps", "steps_per_epoch", "tokens_per_step", "samples_per_step")
        given: dict[str, float | int] = {}
        for name in names:
            value = getattr(self, name)
            if value is not None:
                given[name] = value
        given |= {f"param {name}": value for name, value in sorted(self.params.items())}
        given |= {f"base {name}": value for name, value in sorted(self.bases.items())}
        return given | {f"prev {name}": value for name, value in sorted(self.prevs.items())}


def key_of(target: str, group: str | int | None) -> str:
    """``lr``, ``lr[head]``, ``lr[0]``; the group that is named "0" is ``lr["0"]``."""
    if isinstance(group, str) and group.isascii() and group.isdigit():
        group = f'"{group}"'
    return target if group is None else f"{target}[{group}]"


def _number(called: str, value: Any, wanted: str = "a finite number") -> float:
    """A finite number as a float, whatever library it comes from."""
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise ScheduleError("E0402", f"expected {called} to be {wanted}, got {shown(value)}")


def _rate(called: str, value: Any) -> float:
    number = _number(called, value)
    if number < 0:
        raise ScheduleError("E0402", f"expected {called} to be >= 0, got {shown(value)}")
    return number


def _name(name: Any) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name) or name in KEYWORDS:
        hint = "letters, digits and `_`; no keyword"
        raise ScheduleError("E0402", f"expected a name in params, got {shown(name)}", hint=hint)
    return name


def _target(key: Any) -> str:
    """``weight_decay`` or ``lr[head]``; the base of ``lr`` has an argument of its own."""
    target, bracket, group = (key if isinstance(key, str) else "").partition("[")
    if target not in TARGETS or bool(bracket) != group.endswith("]") or group == "]":
        message = f"expected bases to name targets, as in `weight_decay` or `lr[head]`, got {shown(key)}"
        raise ScheduleError("E0402", message, hint=suggestion(target, TARGETS))
    if key == "lr":
        raise ScheduleError("E0402", "the base of `lr` is base_lr; bases are for the others")
    return key_of(target, _group(group[:-1])) if bracket else target


def _group(written: str) -> str | int:
    """A group as it stands in brackets: a number is an index, a name may have quotes."""
    if written.isascii() and written.isdigit():
        return int(written)
    return written[1:-1] if len(written) > 2 and written[0] == written[-1] == '"' else written


def _mapping(called: str, value: Any) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise ScheduleError("E0402", f"expected {called} to map names to numbers, got {shown(value)}")
    return value


def shown(value: Any) -> str:
    """A wrong value, for a message: whatever it is, it does not fill the screen."""
    try:
        text = repr(value) if not isinstance(value, int) or value.bit_length() < 200 else "a very large number"
    except ValueError:  # a number with more digits than Python prints, inside something else
        text = f"a very large {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
