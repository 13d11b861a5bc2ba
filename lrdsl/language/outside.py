"""Words of formulas that stand outside ``expr(...)``: what was meant by them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lrdsl.errors import ScheduleError
from lrdsl.language.formula import FUNCTIONS, NAMES, trace
from lrdsl.language.hints import translated
from lrdsl.language.printer import render
from lrdsl.language.recovery import Errors
from lrdsl.language.scope import POINTWISE, VALUE_NAMES
from lrdsl.language.values import shown
from lrdsl.primitives import SEGMENTS
from lrdsl.syntax import tree

if TYPE_CHECKING:
    from lrdsl.language.binder import Binder

ONLY_INSIDE = frozenset(NAMES) - frozenset(VALUE_NAMES)
"""Names that a formula has and nothing else."""
_CURVE = "a formula is a segment of its own: `expr(base * (1 - u), n=1000)`"
_LENGTHS = frozenset({"steps", "duration", "period", "offset", "real", "positions"})


def in_operation(node: tree.Binary, binder: Binder) -> ScheduleError | None:
    """The error for an operation that is a formula, or that joins a schedule to one; None if it is neither."""
    if _is_formula(node, binder):
        return _error(node, binder, f"write `expr({render(node)})`")
    for side, other in ((node.left, node.right), (node.right, node.left)):
        if node.op in "*/" and _is_formula(side, binder) and not _is_formula(other, binder):
            factor = tree.Binary("*", tree.Name("base"), side)  # a product of schedules is divided by base
            return _error(side, binder, f"write `expr({render(factor)})`")
    return None


def in_argument(node: tree.Node, kind: str, binder: Binder) -> ScheduleError | None:
    """The error for a formula where a primitive takes a value of that `kind`; None if it is none."""
    if not _is_formula(node, binder) or (isinstance(node, tree.Name) and binder.is_function(node.id)):
        return None
    asks = kind in _LENGTHS and any(isinstance(part, tree.Name) and part.id == "n" for part in _parts(node))
    return _error(node, binder, "the length of the run is `total`" if asks else _CURVE)


def called(node: tree.Call, binder: Binder) -> ScheduleError:
    """The error for a function of formulas that stands where a schedule is due."""
    ours = translated(node.function, SEGMENTS)
    if ours and node.arguments and all(isinstance(argument.value, tree.Number) for argument in node.arguments):
        return _only_inside(node, f"did you mean `{ours}`?")
    curve = node.arguments and _is_formula(node, binder)
    return _only_inside(node, _as_number(node, binder) or (f"write `expr({render(node)})`" if curve else None))


def _error(node: tree.Node, binder: Binder, hint: str) -> ScheduleError:
    for part in _parts(node):
        if isinstance(part, tree.Name) and _only_a_formula_has(part, binder):
            return ScheduleError("E0305", f"`{part.id}` only exists inside expr(...)", part.span, hint)
    call = next(part for part in _parts(node) if isinstance(part, tree.Call))
    return _only_inside(call, _as_number(call, binder) or hint)


def _only_inside(call: tree.Call, hint: str | None) -> ScheduleError:
    return ScheduleError("E0506", f"`{call.function}` only works inside expr(...)", call.span, hint)


def _is_formula(node: tree.Node, binder: Binder) -> bool:
    """Does it hold a word that only formulas have, and nothing that they have not?"""
    found = False
    for part in _parts(node):
        match part:
            case tree.Name():
                found = found or _only_a_formula_has(part, binder)
            case tree.Call(function):
                if function not in FUNCTIONS or function in SEGMENTS:  # outside, `tanh` is a segment
                    return False
                found = found or function not in POINTWISE
            case tree.Number() | tree.Binary() | tree.Negate() | tree.Compare():
                pass
            case _:
                return False
    return found


def _only_a_formula_has(name: tree.Name, binder: Binder) -> bool:
    return name.id in ONLY_INSIDE and name.id not in binder.names()


def _parts(node: tree.Node) -> Iterator[tree.Node]:
    yield node
    for child in tree.children(node):
        yield from _parts(child)


def _as_number(call: tree.Call, binder: Binder) -> str | None:
    """What a call of numbers alone is, with 12 digits."""
    outer, binder.errors = binder.errors, Errors()
    try:
        value = trace(call, binder, ends=False).constant
        wrong = binder.errors.failures
    except ScheduleError:
        return None
    finally:
        binder.errors = outer
    return None if wrong or value is None else f"as a number it is `{shown(value)}`"
