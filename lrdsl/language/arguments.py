"""Arguments: matched to a primitive's parameters, and converted to what its function takes."""

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from lrdsl.errors import ScheduleError
from lrdsl.language.bound import Argued, Bound, Length
from lrdsl.language.context import UNIT_KEYWORDS
from lrdsl.language.formula import trace
from lrdsl.language.hints import suggestion
from lrdsl.language.misordered import misordered
from lrdsl.language.outside import in_argument
from lrdsl.language.printer import render
from lrdsl.language.values import Dur, Num, Open, Rate, Value, Word, describe, number, shown
from lrdsl.primitives.signature import INF, Kind, Parameter, Primitive
from lrdsl.program.expr import const
from lrdsl.program.program import STEPS
from lrdsl.program.stretch import half_up
from lrdsl.syntax import tree
from lrdsl.syntax.lexical_errors import is_number

if TYPE_CHECKING:
    from lrdsl.language.binder import Binder

_STEPS_KIND = Kind("steps")
_TWO_ENDS = "`n` is the length, `until` the step at which it ends"
_NUMERIC = frozenset({"E0301", "E0302", "E0303", "E0312"})
_LONG = 60
"""Of a list of arguments: it is left out where a hint names the one that was meant."""


def bind_arguments(binder: "Binder", node: tree.Call, primitive: Primitive) -> tuple[Argued, Length | None]:
    """The arguments of a call by Python name, and the length of the segment if it has one; every argument is tried.

    Raises:
        Reported: Some are wrong.
        ScheduleError: They stand in another order than the primitive's, or without the brackets of a list.
    """
    if error := misordered(node, primitive, binder):
        raise error
    errors, before = binder.errors, binder.errors.failures
    given, until = _match(binder, node, primitive)
    matched = errors.failures == before
    length: Length | None = None
    if primitive.length is not None:  # before the others: a formula asks whether its segment ends
        with errors:
            length = _length(binder, node, primitive.length, given.get(primitive.length.name), until)
    values: dict[str, Any] = {}
    spans = {name: argument.value.span for name, argument in given.items()}
    if until is not None:
        spans["until"] = until.value.span
    for parameter in primitive.parameters:
        argument = given.get(parameter.name)
        if parameter.kind.name == "steps" and (argument or until or not parameter.required):
            continue
        if argument is None and parameter.required:
            if not matched:  # it may be the one that is misspelled
                continue
            usage = "`hold()` keeps the rate" if primitive.name == "constant" else f"usage: {primitive.signature}"
            errors.add(ScheduleError("E0208", f"`{node.function}` needs `{parameter.name}`", node.span, usage))
        elif argument is not None and not _is_none(argument.value, parameter):
            ends = length is None or length.kind != "inf"
            with errors:
                values[parameter.python] = _Conversion(binder, node, parameter, argument.value).convert(ends=ends)
        elif errors.failures == before:  # a default may depend on what stands before it
            values[parameter.python] = parameter.fallback(values)
    errors.none_since(before)
    return Argued(values, spans), length


def _is_none(value: tree.Node, parameter: Parameter) -> bool:
    return isinstance(value, tree.Name) and value.id == "none" and parameter.default is None


def _match(
    binder: "Binder", node: tree.Call, primitive: Primitive
) -> tuple[dict[str, tree.Argument], tree.Argument | None]:
    """Arguments by the name of their parameter, and `until` apart."""
    given: dict[str, tree.Argument] = {}
    for index, argument in enumerate(node.arguments):
        with binder.errors:
            name = _parameter(node, primitive, index, argument)
            if name in given:
                alias = next((a for a, other in primitive.aliases.items() if other == name), None)
                spelled = alias in (argument.name, given[name].name)
                hint = f"`{alias}` is another name of `{name}`" if alias and spelled else None
                if given[name].name is None:
                    hint = f"`{render(given[name].value)}` is `{name}` already, by its position"
                raise ScheduleError("E0203", f"`{node.function}` got `{name}` twice", argument.span, hint)
            given[name] = argument
    until = given.pop("until", None)
    if until is not None and "n" in given:
        later = max(until, given["n"], key=lambda argument: argument.span)
        binder.errors.add(ScheduleError("E0203", f"`{node.function}` got both `n` and `until`", later.span, _TWO_ENDS))
    return given, until


def _parameter(node: tree.Call, primitive: Primitive, index: int, argument: tree.Argument) -> str:
    """The name of the parameter that an argument is for."""
    if argument.name is None:
        if index < len(primitive.parameters):
            return primitive.parameters[index].name
        count = len(primitive.parameters)
        plural = "argument" if count == 1 else "arguments"
        message = f"`{node.function}` takes at most {count} {plural}, got {len(node.arguments)}"
        raise ScheduleError("E0206", message, argument.span, f"usage: {primitive.signature}")
    if argument.name == "until" and primitive.length:
        return "until"
    parameter = primitive.parameter(argument.name)
    if parameter is None:
        raise _unknown(node, primitive, argument)
    return parameter.name


def _unknown(node: tree.Call, primitive: Primitive, argument: tree.Argument) -> ScheduleError:
    names = [p.name for p in primitive.parameters]
    given = [(p.name, a.value) for p, a in zip(primitive.parameters, node.arguments, strict=False) if a.name is None]
    given += [("value" if other is argument else other.name, other.value) for other in node.arguments if other.name]
    hint = suggestion(argument.name or "", [*names, *primitive.aliases], node.function, given)
    takes = f"; it takes {', '.join(names)}" if names else "; it takes none"
    if hint and len(takes) > _LONG:
        takes = ""
    message = f"`{node.function}` has no argument `{argument.name}`{takes}"
    return ScheduleError("E0202", message, argument.span, hint)


def _length(
    binder: "Binder",
    node: tree.Call,
    parameter: Parameter,
    argument: tree.Argument | None,
    until: tree.Argument | None,
) -> Length:
    if until is not None:
        return _until(binder, until)
    if argument is None:  # if it is required, that is said by the caller
        return Length("inf")
    value = _plain(binder, argument.value, "steps")
    if value == Open("inf"):
        if parameter.default == INF:
            return Length("inf")
        raise ScheduleError(
            "E0411", f"`{parameter.name}` of `{node.function}` must be finite, got `inf`", argument.span
        )
    if value == Open("rest"):
        if binder.repeating:
            message = "`rest` has no meaning inside `repeat` and `cycle`"
            raise ScheduleError("E0407", message, argument.span, "give the length in steps, such as `1000`")
        return Length("rest")
    return Length("steps", _Conversion(binder, node, parameter, argument.value).steps(value))


def _until(binder: "Binder", argument: tree.Argument) -> Length:
    if binder.repeating:
        message = "`until` has no meaning inside `repeat` and `cycle`: every round has its own clock"
        raise ScheduleError("E0407", message, argument.span, "give the length in steps: `n=1000`")
    value = _plain(binder, argument.value, "steps")
    parameter = Parameter("until", "until", _STEPS_KIND, None)
    return Length("until", _Conversion(binder, None, parameter, argument.value).steps(value))


def _plain(binder: "Binder", node: tree.Node, kind: str) -> Value | Bound:
    """What stands in an argument, which is no formula."""
    if error := in_argument(node, kind, binder):
        raise error
    return binder.bind(node)


class _Conversion:
    """One argument on its way from a tree node to what the function takes."""

    def __init__(self, binder: "Binder", call: tree.Call | None, parameter: Parameter, node: tree.Node) -> None:
        self.binder = binder
        self.parameter = parameter
        self.kind = parameter.kind
        self.node = node
        self.span = node.span
        self.called = f"`{parameter.name}` of `{call.function}`" if call else f"`{parameter.name}`"

    def fail(self, code: str, message: str, hint: str | None = None) -> ScheduleError:
        if code in _NUMERIC and isinstance(self.node, tree.String) and is_number(self.node.value):
            hint = f"write `{self.node.value}`, without the quotes"
        return ScheduleError(code, f"{self.called} {message}", self.span, hint)

    def convert(self, *, ends: bool) -> Any:
        """The argument as its parameter's kind wants it."""
        if self.kind.name == "formula":
            before = self.binder.errors.failures
            formula = trace(self.node, self.binder, ends=ends)
            self.binder.errors.none_since(before)
            return formula
        if self.kind.name == "schedule":
            return self.binder.schedule(self.node)
        if self.kind.name in ("metric", "choice"):
            return self.word()
        if self.kind.name == "flag":
            return self.flag()
        if self.kind.name in ("positions", "rates"):
            return self.items()
        method: Callable[[Value], Any] = getattr(self, self.kind.name)
        return method(self.value())

    def value(self) -> Value:
        """The argument as a value; a schedule is an error."""
        written = self.node.unit if isinstance(self.node, tree.Number) else ""
        if written in UNIT_KEYWORDS and self.kind.name in ("rate", "rates", "number", "whole", "times"):
            return Dur(Fraction(0))  # the wrong kind whatever it is bound to: do not ask for a context first
        value = _plain(self.binder, self.node, self.kind.name)
        if isinstance(value, Bound):
            message = f"{self.called} needs {self.needed}; {self.binder.shown(self.node)} is a schedule"
            raise ScheduleError("E0309", message, self.span)
        return value

    @property
    def needed(self) -> str:
        """What the parameter wants, in words."""
        durations = dict.fromkeys(("steps", "duration", "period", "offset", "real"), "a duration")
        return (durations | {"rate": "a rate"}).get(self.kind.name, "a number")

    # --- durations --------------------------------------------------------------------------------------------

    def steps(self, value: Any) -> Fraction:
        """An exact length or position, not negative."""
        exact = self.exact(value)
        if isinstance(value, Num) and exact.denominator != 1:
            raise self.fail("E0405", f"must be a whole number of steps, got {_short(exact)}", self._share_hint(exact))
        if exact < 0:
            raise self.fail("E0403", f"is negative ({_short(exact)} {'step' if exact == -1 else 'steps'})")
        if exact >= STEPS:
            raise self.fail("E0404", "is longer than 2**53 - 1 steps")
        return exact

    def rounded(self, value: Any) -> int:
        """Whole steps, not negative; that they had to be rounded is worth a note."""
        exact = self.steps(value)
        if exact.denominator != 1:
            self.binder.rounded[self.span] = (self.called, exact)
        return half_up(exact)

    def _share_hint(self, exact: Fraction) -> str | None:
        if 0 < exact < 1:
            return f"write `{_short(exact * 100)}%` for that share of total"
        literal = isinstance(self.node, tree.Number)
        return f"with a unit it may have a fraction, as in `{_short(exact)}ep`" if literal else None

    def duration(self, value: Value) -> Fraction:
        """A length inside the segment; how long that is will be rounded with the sum that it is part of."""
        return self.steps(value)

    def exact(self, value: Any) -> Fraction:
        """A number of steps, or a duration."""
        match value:
            case Num(exact) | Dur(exact):
                return exact
            case Open("inf"):
                raise self.fail("E0411", "must be finite, got `inf`")
            case Open():
                message = f"`rest` is only a length `n`; it has no meaning as {self.called}"
                raise ScheduleError("E0407", message, self.span)
        if isinstance(value, Bound):
            raise self.fail("E0309", f"needs a duration; {self.binder.shown(self.node)} is a schedule")
        hint = None
        if isinstance(self.node, tree.Number) and self.node.unit == "x":
            share = _short(self.node.value * 100)
            half = self.node.value == Fraction(1, 2)
            hint = f"`{share}%` is half of total" if half else f"write `{share}%` for that share of total"
        raise self.fail("E0302", f"needs a duration; {self.binder.shown(self.node)} is {describe(value)}", hint)

    def period(self, value: Value) -> int:
        """Whole steps, at least 1."""
        steps = self.rounded(value)
        if steps < 1:
            raise self.fail("E0406", f"must be at least 1 step, got {self.binder.shown(self.node)}")
        return steps

    def offset(self, value: Value) -> int:
        """Whole steps, perhaps none."""
        return self.rounded(value)

    def real(self, value: Value) -> float:
        """An exact number of steps above 0; ``inf`` where the parameter takes it."""
        if self.kind.endless and value == Open("inf"):
            return INF
        steps = number(self.exact(value), self.span)
        if not steps > 0:
            raise self.fail("E0601", f"must be greater than 0, got {shown(steps)}")
        return steps

    # --- numbers and rates ------------------------------------------------------------------------------------

    def rate(self, value: Value) -> Any:
        """A rate, as a traced number."""
        match value:
            case Num(exact):
                return const(number(exact, self.span))
            case Rate(traced):
                return traced
        hint = None
        if isinstance(self.node, tree.Number) and self.node.unit == "%":
            hint = f"`{_short(self.node.value / 100)}x` is {self.node.text} of base"
        raise self.fail("E0301", f"needs a rate; {self.binder.shown(self.node)} is {describe(value)}", hint)

    def number(self, value: Value) -> float:
        """A plain number inside the parameter's range."""
        if not isinstance(value, Num):
            hint = None
            if isinstance(self.node, tree.Number) and self.node.unit in ("%", "x"):
                hint = f"write `{_short(self.node.value / 100 if self.node.unit == '%' else self.node.value)}`"
            message = f"needs a plain number; {self.binder.shown(self.node)} is {describe(value)}"
            raise self.fail("E0303", message, hint)
        plain = number(value.value, self.span)
        if not self.kind.admits(plain):
            raise self.fail("E0601", f"must be {self.kind.range}, got {shown(plain)}")
        return plain

    def whole(self, value: Value) -> int:
        """A whole number inside the parameter's range."""
        got = _short(value.value) if isinstance(value, Num) else self.binder.shown(self.node)
        if not isinstance(value, Num) or value.value.denominator != 1 or value.value < 0:
            least = max(0, int(self.kind.least))
            raise self.fail("E0312", f"must be a whole number, {least} or more, got {got}")
        if value.value >= STEPS:
            raise self.fail("E0404", "must stay below 2**53")
        if not self.kind.admits(value.value):  # type: ignore[arg-type]
            raise self.fail("E0601", f"must be {self.kind.range}, got {got}")
        return int(value.value)

    def times(self, value: Value) -> int:
        """A whole number of rounds, at least 1."""
        if isinstance(value, Num) and value.value == 0:
            raise self.fail("E0406", "must be at least 1, got 0")
        return self.whole(value)

    # --- words and lists --------------------------------------------------------------------------------------

    def word(self) -> str:
        """A bare word or a string: a metric's name, or one of a few choices."""
        node = self.node
        word = node.id if isinstance(node, tree.Name) else node.value if isinstance(node, tree.String) else None
        if self.kind.name == "metric":
            if not word:
                raise self.fail(
                    "E0314", f"must be a metric name, got {self.binder.shown(node)}", "a word such as `loss`"
                )
            return word
        if word is None or word not in self.kind.words:
            hint = suggestion(word, self.kind.words) if word else None
            if isinstance(node, tree.Call) and node.function in self.kind.words:
                hint = f"write `{node.function}`, without arguments"
            *others, last = self.kind.words
            message = f"must be {', '.join(others)} or {last}, got {self.binder.shown(node)}"
            raise self.fail("E0315", message, hint)
        return word

    def flag(self) -> bool:
        """``true`` or ``false``."""
        if isinstance(self.node, tree.Flag):
            return self.node.value
        written = render(self.node)
        close = {"0": "did you mean `false`?", "1": "did you mean `true`?"}.get(written)
        hint = close or suggestion(written, ("true", "false"))
        raise self.fail("E0313", f"must be true or false, got {self.binder.shown(self.node)}", hint)

    def items(self) -> tuple[Any, ...]:
        """A list of positions or of rates."""
        value = self.value()
        if not (isinstance(value, Word) and value.kind == "list"):
            fix = f"write `[{render(self.node)}]`"
            raise self.fail("E0316", f"must be a list, got {self.binder.shown(self.node)}", fix)
        nodes = value.value.items
        if not nodes:
            raise self.fail("E0317", "is an empty list; it needs an entry")
        entries = [_Conversion(self.binder, None, self.parameter, node) for node in nodes]
        for entry in entries:
            entry.called = f"an entry of {self.called}"
        return tuple(self.binder.errors.each(entry.entry for entry in entries))

    def entry(self) -> Any:
        """One entry of a list."""
        return self.rate(self.value()) if self.kind.name == "rates" else self.rounded(self.value())


def _short(value: Fraction) -> str:
    return shown(float(value)) if abs(value) < 10**300 else "a very large number"
