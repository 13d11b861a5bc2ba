"""Nodes from what the parser reduces, made while it parses: there is no other tree."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

from lrdsl.errors import ScheduleError, Span
from lrdsl.syntax import tree
from lrdsl.syntax.lalr import Word
from lrdsl.syntax.lexical_errors import MAX_WORD, too_long

LANGUAGE = 1
MAX_STATEMENTS = 256
MAX_ITEMS = 1024
MAX_PARTS = 4096

_NUMBER = re.compile(r"([0-9_.]+(?:[eE][+-]?[0-9]+)?)([kMBT]?)(.*)")
_SUFFIXES = {"k": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_EXTREME = {"larger": "the largest is about 1.8e308", "smaller": "the smallest is about 5e-324; write `0`"}


class Builder:
    """One method per rule of the grammar, and per terminal that is a value by itself.

    Children arrive in the order of the text; punctuation that the grammar writes as text is left out.
    """

    def start(self, children: list[Any]) -> tree.Script:
        """All statements; the pragma leaves nothing."""
        _, statements = children
        return tree.Script(statements or ())

    def pragma(self, children: list[tree.Number]) -> None:
        """``lrdsl 1;``. Reduced before the rest is read: another language may look different."""
        (version,) = children
        if version.text != str(LANGUAGE):
            message = f"this lrdsl reads language {LANGUAGE}, the text asks for {version.text}"
            raise ScheduleError("E0110", message, version.span)

    def stmts(self, children: list[Any]) -> tuple[Any, ...]:
        """``a; b; c``."""
        return tuple(children)

    def more_stmts(self, children: list[Any]) -> list[Any]:
        """All statements but the first, so far."""
        return _bounded(children, MAX_STATEMENTS, "E0905", "statements")

    def let(self, children: list[Any]) -> tree.Let:
        """``let name = value``."""
        let, name, value = children
        return tree.Let(name.text, value, span=_around(let, value), name_span=name.span)

    def assign(self, children: list[Any]) -> tree.Assign:
        """``target = value``."""
        target, value = children
        return tree.Assign(target, value, span=_around(target, value))

    def bare(self, children: list[tree.Node]) -> tree.Bare:
        """``value``."""
        (value,) = children
        return tree.Bare(value, span=value.span)

    def target(self, children: list[Any]) -> tree.Target:
        """``name``, ``name[group]``, ``name["group"]`` or ``name[0]``."""
        name, group, bracket = children
        if group is None:
            return tree.Target(name.text, span=name.span)
        return tree.Target(name.text, _group(group), span=_around(name, bracket))

    def compare(self, children: list[Any]) -> tree.Compare:
        """``left < right``."""
        left, op, right = children
        return tree.Compare(op.text, left, right, span=_around(left, right), op_span=op.span)

    def pipe(self, children: list[tree.Node]) -> tree.Pipe:
        """``left | right``."""
        left, right = children
        return tree.Pipe(left, right, span=_around(left, right))

    def then(self, children: list[tree.Node]) -> tree.Then:
        """``a >> b >> c``, flattened: the operator is associative."""
        parts = [part for child in children for part in (child.parts if isinstance(child, tree.Then) else (child,))]
        return tree.Then(tuple(parts), span=_around(children[0], children[-1]))

    def more_seq(self, children: list[tree.Node]) -> list[tree.Node]:
        """All parts of a sequence but the first, so far."""
        return _bounded(children, MAX_PARTS, "E0902", "parts in one sequence")

    def binop(self, children: list[Any]) -> tree.Binary:
        """``left + right``."""
        left, op, right = children
        return tree.Binary(op.text, left, right, span=_around(left, right), op_span=op.span)

    def sign(self, children: list[Any]) -> tree.Node:
        """``-operand``, or ``+operand``, which is the operand."""
        op, operand = children
        span = _around(op, operand)
        return tree.Negate(operand, span=span) if op.text == "-" else replace(operand, span=span)

    def paren(self, children: list[Any]) -> tree.Node:
        """``(inner)``: the inner node, with carets under the parentheses too."""
        left, inner, right = children
        return replace(inner, span=_around(left, right))  # type: ignore[no-any-return]

    def name(self, children: list[Word]) -> tree.Name:
        """A name that stands for a value."""
        (name,) = children
        return tree.Name(name.text, span=name.span)

    def call(self, children: list[Any]) -> tree.Call:
        """``function(arguments)``."""
        function, arguments, bracket = children
        span = _around(function, bracket)
        return tree.Call(function.text, arguments or (), span=span, function_span=function.span)

    def args(self, children: list[tree.Argument]) -> tuple[tree.Argument, ...]:
        """The arguments of a call: positional ones, then named ones."""
        _no_thousands([argument.value for argument in children])
        named = None
        for argument in children:
            if argument.name is not None:
                named = argument.name
            elif named is not None:
                hint = f"it belongs before `{named}=`"
                raise ScheduleError("E0207", "a positional argument follows a named one", argument.span, hint)
        return tuple(children)

    def more_args(self, children: list[tree.Argument]) -> list[tree.Argument]:
        """All arguments but the first, so far."""
        return _bounded(children, MAX_ITEMS, "E0906", "arguments in one call")

    def kwarg(self, children: list[Any]) -> tree.Argument:
        """``name=value``."""
        name, value = children
        return tree.Argument(value, name.text, span=_around(name, value))

    def posarg(self, children: list[tree.Node]) -> tree.Argument:
        """An argument without a name."""
        (value,) = children
        return tree.Argument(value, span=value.span)

    def array(self, children: list[Any]) -> tree.Items:
        """``[a, b]``."""
        left, items, right = children
        return tree.Items(items or (), span=_around(left, right))

    def items(self, children: list[tree.Node]) -> tuple[tree.Node, ...]:
        """What stands inside ``[...]``."""
        _no_thousands(children)
        return tuple(children)

    def more_items(self, children: list[tree.Node]) -> list[tree.Node]:
        """All entries but the first, so far."""
        return _bounded(children, MAX_ITEMS, "E0906", "entries in one list")

    def NUMBER(self, word: Word) -> tree.Number:
        """A number, exact, with its suffix multiplied in."""
        text, span = word.text, word.span
        if len(text) > MAX_WORD:
            raise too_long("number", text, span)
        if text.isdigit():  # most are: no exponent, so no double too far
            return tree.Number(Fraction(int(text)), "", text, span=span)
        digits, suffix, unit = _NUMBER.fullmatch(text).groups()  # type: ignore[union-attr]
        value = Fraction(digits.replace("_", "")) * _SUFFIXES.get(suffix, 1)
        try:
            too = "smaller" if value and not float(value) else ""
        except OverflowError:
            too = "larger"
        if too:
            raise ScheduleError("E0105", f"`{text}` is {too} than a double can hold", span, _EXTREME[too])
        return tree.Number(value, unit, text, span=span)

    def STRING(self, word: Word) -> tree.String:
        """A string, without its quotes."""
        return tree.String(word.text[1:-1], span=word.span)

    def TRUE(self, word: Word) -> tree.Flag:
        """``true``."""
        return tree.Flag(True, span=word.span)

    def FALSE(self, word: Word) -> tree.Flag:
        """``false``."""
        return tree.Flag(False, span=word.span)

    def REST(self, word: Word) -> tree.Rest:
        """``rest``."""
        return tree.Rest(span=word.span)


def _around(first: Any, last: Any) -> Span:
    """From the start of ``first`` to the end of ``last``; each is a node or a word."""
    return first.span[0], last.span[1]


def _bounded(more: list[Any], limit: int, code: str, what: str) -> list[Any]:
    """What follows the first of at most `limit`: refused at once, not when all of it has been read."""
    if len(more) >= limit:
        raise ScheduleError(code, f"more than {limit} {what}", more[-1].span)
    return more


def _no_thousands(values: list[tree.Node]) -> None:
    """``10,000`` is two arguments, the second of which nobody writes: refuse it."""
    for first, (left, right) in enumerate(pairwise(values)):
        if _is_thousands(left, right):
            last = first + 1
            while last + 1 < len(values) and _is_thousands(values[last], values[last + 1]):
                last += 1
            texts = [value.text for value in values[first : last + 1] if isinstance(value, tree.Number)]
            span = _around(left, values[last])
            hint = f"write `{'_'.join(texts)}`: a `,` separates arguments"
            raise ScheduleError("E0104", f"`{','.join(texts)}` is not a number", span, hint)


def _is_thousands(left: tree.Node, right: tree.Node) -> bool:
    return (
        isinstance(left, tree.Number)
        and isinstance(right, tree.Number)
        and left.text.isdigit()
        and right.text.isdigit()
        and right.span[0] == left.span[1] + 1
        and len(right.text) == 3
        and right.text[0] == "0"
    )


def _group(index: Any) -> str | int:
    """The group a target names: a word, a string or a position."""
    if isinstance(index, tree.Number):
        if index.unit or index.value.denominator != 1:
            raise ScheduleError("E0312", f"a group's index must be a whole number, got `{index.text}`", index.span)
        return int(index.value)
    return index.value if isinstance(index, tree.String) else index.text
