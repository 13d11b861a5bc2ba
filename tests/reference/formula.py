"""Section 6: the formula of `expr`."""

from __future__ import annotations

import math
from fractions import Fraction

from lrdsl.syntax.tree import Binary, Call, Compare, Name, Negate, Node, Number

from .arguments import is_schedule, quantity
from .numbers import FUNCTIONS, OPERATORS, InvalidTextError, Real, double, mp, real, rounded
from .places import Place


def formula(node: Node, place: Place, t: Fraction, n: int | float) -> Real:
    """Both sides of `where` are evaluated, IEEE rules, every operation rounded."""

    def of(node: Node) -> Real:
        match node:
            case Number(value=value, unit=""):
                return double(value)
            case Number(value=value, unit="x"):
                return double(value) * place.base()
            case Number():
                raise InvalidTextError("E0310")
            case Name(id=name):
                return rounded(named(name))
            case Negate(operand=operand):
                return -of(operand)
            case Binary() | Compare():
                return rounded(mp.mpf(OPERATORS[node.op](of(node.left), of(node.right))))
            case Call() if node.function in FUNCTIONS:
                return rounded(FUNCTIONS[node.function](*[of(each.value) for each in node.arguments]))
            case Call():
                raise InvalidTextError("E0311")
        raise InvalidTextError("E0309")

    def named(name: str) -> Real:
        if name in ("n", "u") and n == math.inf:
            raise InvalidTextError("E0318")
        match name:
            case "t":
                return real(t)
            case "n":
                return mp.mpf(n)
            case "u":
                return real(t) / n if n else mp.one
            case "step":
                return real(place.clock.step(place.first + t))
            case "base":
                return place.base()
            case "prev":
                return place.prev()
            case "total":
                return real(place.run.steps)
            case "pi":
                return +mp.pi
        if is_schedule(Name(name), place.run):
            raise InvalidTextError("E0311")
        if name not in place.run.lets and name not in place.run.params:
            raise InvalidTextError("E0201", name)
        kind, value = quantity(Name(name), place)
        return value if kind == "rate" else double(value) if value != math.inf else mp.inf

    return of(node)
