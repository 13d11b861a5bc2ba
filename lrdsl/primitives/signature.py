"""How a primitive is declared: a Python function whose signature is the language's.

The annotations below say what each argument means; names, order, defaults, ranges,
units and did-you-mean all come from the signature. Registering is what the decorators
do, so adding a primitive changes nothing else.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Any, TypeVar, get_args

from lrdsl.program.expr import Expr, symbol

INF = float("inf")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Kind:
    """What an argument may be. `name` decides the conversion in ``language/arguments.py``."""

    name: str
    above: float = -INF
    least: float = -INF
    below: float = INF
    most: float = INF
    words: tuple[str, ...] = ()
    endless: bool = False
    late: bool = False  # `prev` in it is not that of the call

    def admits(self, value: float) -> bool:
        """Is a number inside the stated range?"""
        return self.above < value < self.below and self.least <= value <= self.most

    @property
    def range(self) -> str:
        """The range in words, as in "must be …"."""
        if self.above > -INF and self.below < INF:
            return f"greater than {self.above:g} and less than {self.below:g}"
        if self.above > -INF:
            return f"greater than {self.above:g}"
        if self.most < INF:
            return f"between {self.least:g} and {self.most:g}"
        return f"at least {self.least:g}"


# What the formula function receives is the first argument of Annotated.
Steps = Annotated[int, Kind("steps")]
"""The length of a segment, in whole steps; `until=` may stand for it."""
ExactSteps = Annotated[Fraction, Kind("steps")]
"""The same of a structure that is rewritten as other segments: not rounded yet."""
Duration = Annotated[Fraction, Kind("duration")]
"""A stretch of steps inside the segment, not rounded yet."""
Period = Annotated[int, Kind("period")]
"""Whole steps, at least 1, rounded half-up."""
Span = Annotated[float, Kind("real", above=0)]
"""Steps as an exact real number above 0."""
OpenSpan = Annotated[float, Kind("real", above=0, endless=True)]
"""The same, or ``inf``."""
Offset = Annotated[int, Kind("offset")]
"""Whole steps, rounded half-up; may be 0."""
Positions = Annotated[tuple[int, ...], Kind("positions")]
"""Whole steps inside the segment."""
Rate = Annotated[Any, Kind("rate")]
"""A rate: absolute, ``0.1x``, or in terms of ``base`` and ``prev``."""
LateRate = Annotated[Any, Kind("rate", late=True)]
"""A rate of one of the segments that a structure is rewritten as: ``prev`` in it is the rate on entering that one."""
PositiveRate = Annotated[Any, Kind("rate", above=0)]
"""A rate that must be above 0."""
Rates = Annotated[tuple[Any, ...] | None, Kind("rates")]
Number = Annotated[float, Kind("number")]
Positive = Annotated[float, Kind("number", above=0)]
NonNegative = Annotated[float, Kind("number", least=0)]
AboveOne = Annotated[float | None, Kind("number", above=1)]
Ratio = Annotated[float, Kind("number", above=0, below=1)]
Flag = Annotated[bool, Kind("flag")]
TanhBound = Annotated[float, Kind("number", above=-1e6, below=1e6)]
"""An argument of tanh, which is flat long before; beyond, twice the value could overflow."""
Count = Annotated[int, Kind("whole", least=0)]
Times = Annotated[int, Kind("times", least=1)]
Multiple = Annotated[int, Kind("whole", least=1)]
Window = Annotated[int, Kind("whole", least=1, most=64)]
"""Reports to look back on."""
Metric = Annotated[str, Kind("metric")]
Body = Annotated[Any, Kind("schedule")]
Formula = Annotated[Expr, Kind("formula")]
Shape = Annotated[str, Kind("choice", words=("linear", "cosine", "log", "one_minus_sqrt"))]
DecayShape = Annotated[str, Kind("choice", words=("linear", "cosine", "one_minus_sqrt"))]
PointsShape = Annotated[str, Kind("choice", words=("linear", "cosine", "geometric"))]
OneCycleShape = Annotated[str, Kind("choice", words=("cosine", "linear"))]
Mode = Annotated[str, Kind("choice", words=("min", "max"))]
ThresholdMode = Annotated[str, Kind("choice", words=("rel", "abs"))]

PREV: Any = symbol("prev")
"""Default of ``from``: the rate on entering the segment."""
BASE: Any = symbol("base")
"""``1x``."""
TENFOLD: Any = 10.0 * BASE
"""``10x``."""
ENDLESS: Any = INF
"""Default of an ``n`` that may be left out."""


@dataclass(frozen=True, slots=True)
class Derived:
    """A default that depends on the arguments before it, or on base: ``Derived("peak/25", lambda known: …)``.

    Attributes:
        text: What signatures show.
        of: From the arguments so far, by Python name, to the value.
    """

    text: str
    of: Callable[[Mapping[str, Any]], Any]

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a primitive."""

    name: str  # as written in the language
    python: str  # as written in the function: `from_` for `from`
    kind: Kind
    default: Any

    @property
    def required(self) -> bool:
        """Must it be given?"""
        return self.default is inspect.Parameter.empty

    def fallback(self, known: Mapping[str, Any]) -> Any:
        """The value where none is given; `known` are the arguments before it, by Python name."""
        return self.default.of(known) if isinstance(self.default, Derived) else self.default

    def __str__(self) -> str:
        return self.name if self.required else f"{self.name}={_shown(self.default)}"


def _shown(default: Any) -> str:
    if default is None:
        return "none"
    if default is BASE:
        return "1x"
    if default is TENFOLD:
        return "10x"
    if isinstance(default, bool):
        return "true" if default else "false"
    return f"{default:g}" if isinstance(default, int | float) else str(default)


@dataclass(frozen=True)
class Primitive:
    """A segment or modifier: its name, its arguments and its one function."""

    name: str
    function: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def doc(self) -> str:
        """The docstring."""
        return inspect.getdoc(self.function) or ""

    @property
    def signature(self) -> str:
        """As in ``cosine(n, to=0, from=prev)``."""
        return f"{self.name}({', '.join(map(str, self.parameters))})"

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of that name or alias."""
        name = self.aliases.get(name, name)
        return next((p for p in self.parameters if p.name == name), None)

    @cached_property
    def length(self) -> Parameter | None:
        """The parameter that is the segment's length."""
        return next((p for p in self.parameters if p.kind.name == "steps"), None)


class Segment(Primitive):
    """Owns a stretch of steps. The function maps `At` and the arguments to the value there."""


class Structure(Primitive):
    """A segment that rewrites the clock or the tree: its function gets a `Stage` and gives a `Stretch`."""

    @property
    def has_body(self) -> bool:
        """Does it run a schedule that it was given?"""
        return any(p.kind.name == "schedule" for p in self.parameters)


class Modifier(Primitive):
    """Maps the value of what stands on its left. The function takes that value first."""


class Reshaping(Modifier):
    """Changes when its left side runs: its function gets a `Site` and the left side, and gives a `Stretch`."""


@dataclass(frozen=True, slots=True)
class Past:
    """Slots for what came before: as many as the argument of that name says, less the one for what comes now."""

    argument: str


@dataclass(frozen=True)
class ObservedModifier(Modifier):
    """A modifier driven by reports: `function` is its update, `value` its effect.

    `skipped` says whether it also hears of an update that is not made.
    """

    slots: Mapping[str, float | Past] = field(default_factory=lambda: MappingProxyType({}))
    skipped: bool = False
    effect: Callable[..., Expr] | None = None
    wanted: tuple[str, ...] = ()

    def value(self, function: Callable[..., Expr]) -> Callable[..., Expr]:
        """Decorator: the function from (value, state, arguments it names) to the modified value."""
        object.__setattr__(self, "effect", function)
        object.__setattr__(self, "wanted", tuple(inspect.signature(function).parameters)[2:])
        return function

    def modified(self, value: Expr, state: Any, arguments: Mapping[str, Any]) -> Expr:
        """The modified value; `effect` names the arguments it wants, ``step`` among them."""
        assert self.effect is not None
        return self.effect(value, state, **{name: arguments[name] for name in self.wanted})


SEGMENTS: dict[str, Segment | Structure] = {}
MODIFIERS: dict[str, Modifier] = {}


def _read(function: Callable[..., Any], skip: int) -> tuple[str, tuple[Parameter, ...]]:
    parameters = list(inspect.signature(function).parameters.values())[skip:]
    read = [Parameter(p.name.rstrip("_"), p.name, get_args(p.annotation)[1], p.default) for p in parameters]
    return function.__name__.rstrip("_"), tuple(read)


def segment(*, alias: Mapping[str, str] | None = None) -> Callable[[F], F]:
    """Register a segment: ``f(at, arguments) -> Expr``."""

    def register(function: F) -> F:
        name, parameters = _read(function, 1)
        SEGMENTS[name] = Segment(name, function, parameters, MappingProxyType(dict(alias or {})))
        return function

    return register


def structure(*, alias: Mapping[str, str] | None = None) -> Callable[[F], F]:
    """Register a structural segment: ``f(stage, arguments) -> Stretch``."""

    def register(function: F) -> F:
        name, parameters = _read(function, 1)
        SEGMENTS[name] = Structure(name, function, parameters, MappingProxyType(dict(alias or {})))
        return function

    return register


def modifier(function: F) -> F:
    """Register a pure modifier: ``f(value, arguments) -> Expr``."""
    name, parameters = _read(function, 1)
    MODIFIERS[name] = Modifier(name, function, parameters)
    return function


def reshaping(function: F) -> F:
    """Register a modifier of time: ``f(site, body, arguments) -> Stretch``."""
    name, parameters = _read(function, 2)
    MODIFIERS[name] = Reshaping(name, function, parameters)
    return function


def observed(*, skipped: bool = False, **slots: float | Past) -> Callable[[Callable[..., Any]], ObservedModifier]:
    """Register a metric-driven modifier: ``f(state, report, arguments) -> {slot: Expr}``; `slots` are first values."""

    def register(function: Callable[..., Any]) -> ObservedModifier:
        name, parameters = _read(function, 2)
        made = ObservedModifier(name, function, parameters, slots=MappingProxyType(slots), skipped=skipped)
        MODIFIERS[name] = made
        return made

    return register
