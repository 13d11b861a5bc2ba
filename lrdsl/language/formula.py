"""Formulas: what stands inside ``expr(...)``, traced over the symbols a segment fills in."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lrdsl.errors import ScheduleError
from lrdsl.language.hints import suggestion
from lrdsl.language.recipes import FORMULA_WORDS
from lrdsl.language.values import Dur, Num, Open, Rate, Word, describe, number
from lrdsl.primitives import MODIFIERS
from lrdsl.program import expr as f
from lrdsl.program.elementary import PI_HI, two_product
from lrdsl.program.expr import Expr, const, symbol
from lrdsl.syntax import tree

if TYPE_CHECKING:
    from lrdsl.language.binder import Binder

NAMES = ("t", "n", "u", "step", "base", "prev", "total", "pi")
INVERSE_PI, INVERSE_PI_LO = 0.3183098861837907, -1.9678676675182486e-17


def _half_turns(x: Any, offset: float) -> tuple[Any, Any]:
    """``x / pi - offset``: the sign of its nearest whole number, and the rest with all its digits, however large x."""
    high, low = two_product(x, INVERSE_PI)
    whole = f.floor(high + (0.5 - offset))
    sign = (whole - 2.0 * f.floor(0.5 * whole)) * -2.0 + 1.0  # `x` first: nested calls then need no deeper stack
    return sign, (high - (whole + offset)) + (low + x * INVERSE_PI_LO)


def _sin(x: Any) -> Any:
    sign, rest = _half_turns(x, 0.0)
    return sign * f.sinpi(rest)


def _cos(x: Any) -> Any:
    # From the nearest zero, as a sine: there a cosine would be the rounding of its argument and nothing else.
    sign, rest = _half_turns(x, 0.5)
    return sign * f.sinpi(-rest)


def _tanh(x: Any) -> Any:
    # With e = exp(-2|x|) - 1 neither end overflows, and near 0 nothing cancels.
    e = f.expm1(-2.0 * abs(x))
    size = -e / (2.0 + e)
    return f.select(x < 0.0, -size, size)


def _clamp(value: Any, low: Any, high: Any) -> Any:
    return f.minimum(f.maximum(value, low), high)


FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "abs": (1, abs),
    "ceil": (1, f.ceil),
    "clamp": (3, _clamp),
    "cos": (1, _cos),
    "cospi": (1, f.cospi),
    "exp": (1, f.exp),
    "exp2": (1, f.exp2),
    "floor": (1, f.floor),
    "log": (1, f.log),
    "log2": (1, f.log2),
    "mod": (2, lambda a, b: a - b * f.floor(a / b)),
    "pow": (2, f.power),
    "sin": (1, _sin),
    "sinpi": (1, f.sinpi),
    "sqrt": (1, f.sqrt),
    "tanh": (1, _tanh),
    "where": (3, f.select),
}
"""Functions of a formula: how many arguments, and what they trace to."""

FOLDS: dict[str, Callable[..., Any]] = {"max": f.maximum, "min": f.minimum}
"""Functions that take two arguments or more."""

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": f.equal,
    "!=": lambda a, b: 1.0 - f.equal(a, b),
}
OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": f.power,
}


def fold(function: Callable[..., Any], operands: list[Any]) -> Any:
    """A balanced tree, so that many operands do not nest deep."""
    if len(operands) == 1:
        return operands[0]
    middle = len(operands) // 2
    return function(fold(function, operands[:middle]), fold(function, operands[middle:]))


def trace(node: tree.Node, binder: "Binder", *, ends: bool) -> Expr:
    """`node` as a formula; ``u`` and ``n`` exist only if the segment `ends`."""
    binder.enter(node)
    try:
        return _trace(node, binder, ends)
    finally:
        binder.leave()


def _trace(node: tree.Node, binder: "Binder", ends: bool) -> Expr:

    def sub(child: tree.Node) -> Expr:
        with binder.errors:
            return trace(child, binder, ends=ends)
        return symbol("broken")  # whoever wanted the whole formula sees that there has been a failure

    match node:
        case tree.Number(value, unit):
            return _literal(node, number(value, node.span), unit)
        case tree.Name(id):
            return _name(node, id, binder, ends)
        case tree.Negate(operand):
            return -sub(operand)
        case tree.Binary(op, left, right):
            return OPERATIONS[op](sub(left), sub(right))  # type: ignore[no-any-return]
        case tree.Compare(op, left, right):
            return COMPARISONS[op](sub(left), sub(right))  # type: ignore[no-any-return]
        case tree.Call():
            return _call(node, binder, sub)
        case tree.Then() | tree.Pipe():
            raise ScheduleError(
                "E0311", "schedules cannot be joined inside expr(...)", node.span, "a formula gives one number per step"
            )
    raise ScheduleError("E0309", f"{binder.shown(node)} has no meaning inside expr(...); a number is needed", node.span)


def _literal(node: tree.Number, value: float, unit: str) -> Expr:
    if unit == "x":
        return value * symbol("base")
    if unit:
        hint = f"name it first: `let w = {node.text};`"
        raise ScheduleError("E0310", f"`{node.text}`: units have no meaning inside expr(...)", node.span, hint)
    return const(value)


def _name(node: tree.Name, id: str, binder: "Binder", ends: bool) -> Expr:
    if id in ("u", "n") and not ends:
        raise ScheduleError(
            "E0318", f"`{id}` needs a length: this expr never ends", node.span, "give it one: `expr(..., n=1000)`"
        )
    if id == "pi":
        return const(PI_HI)
    if id == "total":
        total = binder.context.total_steps
        if total is None:
            raise ScheduleError(
                "E0401", "`total` needs total_steps, which is not set", node.span, "pass `total_steps=...`"
            )
        return const(total)
    if id in NAMES:
        return symbol(id)
    value = binder.named(node)
    if value is None:
        if binder.is_function(id):
            raise ScheduleError("E0306", f"`{id}` needs parentheses: it is a function", node.span, f"write `{id}(...)`")
        hint = FORMULA_WORDS.get(id.lower()) or suggestion(id, [*NAMES, *binder.names()])
        message = f"unknown name `{id}`; a formula knows {', '.join(NAMES[:-1])} and {NAMES[-1]}"
        raise ScheduleError("E0201", message, node.span, hint)
    match value:
        case Num(exact) | Dur(exact):
            return const(number(exact, node.span))
        case Rate(traced):
            return traced
    what = describe(value) if isinstance(value, Open | Word) else "a schedule"
    raise ScheduleError("E0311", f"`{id}` is {what} and cannot be used inside expr(...)", node.span)


def _call(node: tree.Call, binder: "Binder", sub: Callable[[tree.Node], Expr]) -> Expr:
    name, count = node.function, len(node.arguments)
    operands = [sub(argument.value) for argument in node.arguments]
    if name not in FUNCTIONS and name not in FOLDS:
        if binder.is_function(name):
            kind = "modifier" if name in MODIFIERS else "schedule"
            message = f"`{name}` is a {kind} and cannot be used inside expr(...)"
            raise ScheduleError("E0311", message, node.span, "schedules are combined outside: `0.5 * cosine(1000)`")
        hint = suggestion(name, [*FUNCTIONS, *FOLDS])
        raise ScheduleError("E0204", f"unknown function `{name}`", node.function_span, hint)
    if any(argument.name for argument in node.arguments):
        raise ScheduleError("E0205", f"the arguments of `{name}` have no names", node.span)
    if name in FOLDS:
        if count < 2:
            raise ScheduleError("E0206", f"`{name}` takes at least 2 arguments, got {count}", node.span)
        return fold(FOLDS[name], operands)  # type: ignore[no-any-return]
    arity, function = FUNCTIONS[name]
    if count != arity:
        plural = "argument" if arity == 1 else "arguments"
        raise ScheduleError("E0206", f"`{name}` takes {arity} {plural}, got {count}", node.span)
    return function(*operands)  # type: ignore[no-any-return]
