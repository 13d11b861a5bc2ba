"""The kinds of value in the language, and their arithmetic.

Numbers and durations stay exact rationals until they are needed as doubles; a rate
is a traced formula over ``base`` and ``prev``.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from lrdsl.errors import ScheduleError, Span
from lrdsl.program import elementary
from lrdsl.program.expr import Expr, const


@dataclass(frozen=True, slots=True)
class Num:
    """A plain number: steps where a duration is due, absolute where a rate is due."""

    value: Fraction


@dataclass(frozen=True, slots=True)
class Dur:
    """A duration in steps."""

    steps: Fraction


@dataclass(frozen=True, slots=True)
class Open:
    """``rest`` or ``inf``: a duration without a number."""

    word: Literal["rest", "inf"]


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate, as a formula over ``base`` and ``prev``."""

    value: Expr


@dataclass(frozen=True, slots=True)
class Word:
    """A word that is no number: true, false, a metric, a choice, a list."""

    value: Any
    kind: Literal["flag", "text", "list"]


Value = Num | Dur | Open | Rate | Word

LARGEST = "the largest is about 1.8e308"
_SPOKEN = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}
_EXACT: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


EXACT_BITS = 2**15
"""Numerators and denominators beyond this are refused; a double has 53."""


def describe(value: Value) -> str:
    """The kind, in words."""
    if isinstance(value, Word):
        return {"flag": "a truth value", "text": "a string", "list": "a list"}[value.kind]
    return {Num: "a number", Dur: "a duration", Open: "a duration", Rate: "a rate"}[type(value)]


def number(value: Fraction, span: Span) -> float:
    """The nearest double; E0105 if it has none."""
    try:
        return float(value)
    except OverflowError:
        raise ScheduleError("E0105", "this number is larger than a double can hold", span, LARGEST) from None


def shown(value: float) -> str:
    """A number in a message, to 12 digits, as the language would write it: ``1000000`` and ``1e-9``."""
    return re.sub(r"e([+-])0*", lambda e: "e-" if e[1] == "-" else "e", f"{value:.12g}")


def roughly(value: float) -> str:
    """A number to 4 digits: ``50000``, however it came about."""
    return shown(float(f"{value:.4g}"))


def arithmetic(op: str, left: Value, right: Value, span: Span, shown: str) -> Value:
    """``left op right`` as language.md §3 defines it; `shown` is its text, for messages."""
    if isinstance(left, Open) or isinstance(right, Open):
        rest = Open("rest") in (left, right)
        hint = "`rest` already leaves room for the others" if rest else "`inf` is no number: it means without end"
        raise ScheduleError("E0304", "no arithmetic on `rest` or `inf`", span, hint)
    if max(map(_bits, (left, right))) > EXACT_BITS:
        raise ScheduleError("E0105", "this number has too many digits to be kept exactly", span, "round a part of it")
    if op == "**":
        return _power(left, right, span, shown)
    if op == "/" and isinstance(right, Num | Dur) and (right.value if isinstance(right, Num) else right.steps) == 0:
        raise ScheduleError("E0308", "division by zero", span)
    exact = _EXACT[op]
    match left, right:
        case Num(a), Num(b):
            return Num(exact(a, b))
        case Dur(a), Dur(b) if op in "+-":
            return Dur(exact(a, b))
        case Dur(a), Dur(b) if op == "/":
            return Num(a / b)
        case Dur(a), Num(b) if op in "*/":
            return Dur(exact(a, b))
        case Dur(a), Num(b) if b.denominator == 1:
            return Dur(exact(a, b))
        case Num(a), Dur(b) if op == "*" or (op in "+-" and a.denominator == 1):
            return Dur(exact(a, b))
        case (Rate() | Num(), Rate() | Num()) if op in "+-":
            return Rate(exact(_traced(left, span), _traced(right, span)))
        case Rate(a), Num(b) if op in "*/":
            return Rate(exact(a, number(b, span)))
        case Num(a), Rate(b) if op == "*":
            return Rate(number(a, span) * b)
    adds = op in "+-" and {type(left), type(right)} == {Dur, Num}
    why = "only whole steps can be added to a duration" if adds else None
    raise ScheduleError(
        "E0307", f"`{shown}` has no meaning: {describe(left)} {_SPOKEN[op]} {describe(right)}", span, why
    )


def _bits(value: Value) -> int:
    """How long an exact number is: a sum of fractions grows with each of them."""
    exact = value.value if isinstance(value, Num) else value.steps if isinstance(value, Dur) else 0
    return max(exact.numerator.bit_length(), exact.denominator.bit_length())


def negate(value: Value, span: Span, shown: str) -> Value:
    """``-value``."""
    return arithmetic("*", Num(Fraction(-1)), value, span, shown)


def _traced(value: Value, span: Span) -> Expr:
    return value.value if isinstance(value, Rate) else const(number(value.value, span))  # type: ignore[union-attr]


def _power(left: Value, right: Value, span: Span, shown: str) -> Value:
    if not (isinstance(left, Num) and isinstance(right, Num)):
        raise ScheduleError("E0307", f"`{shown}` has no meaning: `**` takes plain numbers", span)
    result = elementary.power(number(left.value, span), number(right.value, span))
    if abs(result) == elementary.INF:
        if left.value == 0:
            raise ScheduleError("E0105", f"`{shown}` divides by zero", span)
        raise ScheduleError("E0105", f"`{shown}` is larger than a double can hold", span, LARGEST)
    if result != result:
        raise ScheduleError("E0105", f"`{shown}` is not a real number", span, "a root of a negative number")
    return Num(Fraction(result))
