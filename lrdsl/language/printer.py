"""Tree to canonical text: one line, one spelling, the fewest parentheses."""

from __future__ import annotations

import re
from decimal import Context, Decimal

from lrdsl.syntax import tree

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_KEYWORDS = frozenset({"let", "true", "false", "rest", "lrdsl"})
_LONGEST_LITERAL = 64
_LONGEST_SHOWN = 40
_EXACT = Context(prec=2 * _LONGEST_LITERAL)

# How tightly each kind of node binds; an operand that binds less than its place asks for gets parentheses.
_COMPARE, _PIPE, _THEN, _SUM, _TERM, _SIGN, _POWER, _ATOM = range(8)
# operator: its own level, the least level of its left operand, and of its right one
_BINARY = {
    "+": (_SUM, _SUM, _TERM),
    "-": (_SUM, _SUM, _TERM),
    "*": (_TERM, _TERM, _SIGN),
    "/": (_TERM, _TERM, _SIGN),
    "**": (_POWER, _ATOM, _SIGN),
}


def quoted(node: tree.Node) -> str:
    """The text of a node as messages show it: in backticks, cut short if it is long."""
    text = written(node)
    return f"`{text}`" if len(text) <= _LONGEST_SHOWN else f"`{text[: _LONGEST_SHOWN - 3]}...`"


def written(node: tree.Node) -> str:
    """A number as it was written (``3e-4``, ``60ep``), anything else as `render` has it."""
    match node:
        case tree.Number(text=text) if text:
            return text
        case tree.Negate(tree.Number(text=text)) if text:
            return f"-{text}"
        case _:
            return render(node)


def render(node: tree.Node) -> str:
    """Canonical text of a tree or any part of one.

    Parsing the text gives the same tree again, except that another name of an argument (``min``) has become its own
    name (``to``).

    Example:
        >>> from lrdsl.syntax.parser import parse
        >>> render(parse("(warmup( 1k ) >> cosine(9k,min = +0.10x,)) # up, down"))
        'warmup(1000) >> cosine(9000, to=0.1x)'
    """
    match node:
        case tree.Script(statements):
            return "; ".join(map(render, statements))
        case tree.Let(name, value):
            return f"let {name} = {render(value)}"
        case tree.Assign(target, value):
            return f"{render(target)} = {render(value)}"
        case tree.Bare(value):
            return render(value)
        case tree.Target(name, group):
            return name if group is None else f"{name}[{_group(group)}]"
        case tree.Compare(op, left, right):
            return f"{_at_least(_PIPE, left)} {op} {_at_least(_PIPE, right)}"
        case tree.Pipe(left, right):
            return f"{_at_least(_PIPE, left)} | {_at_least(_THEN, right)}"
        case tree.Then(parts):
            return " >> ".join(_at_least(_SUM, part) for part in parts)
        case tree.Binary(op, left, right):
            _, least_left, least_right = _BINARY[op]
            return f"{_at_least(least_left, left)} {op} {_at_least(least_right, right)}"
        case tree.Negate(operand):
            return "-" + _at_least(_SIGN, operand)
        case _:
            return _atom(node)


def _atom(node: tree.Node) -> str:
    match node:
        case tree.Call(function, arguments):
            return f"{function}({', '.join(_argument(argument, function) for argument in arguments)})"
        case tree.Argument():
            return _argument(node, "")
        case tree.Items(items):
            return f"[{', '.join(map(render, items))}]"
        case tree.Number():
            return _number(node)
        case tree.String(value):
            return f'"{value}"'
        case tree.Flag(value):
            return "true" if value else "false"
        case tree.Rest():
            return "rest"
        case tree.Name(name):
            return name
        case _:
            raise TypeError(f"not a node of the language: {node!r}")


def _at_least(level: int, node: tree.Node) -> str:
    """``node``, in parentheses if it binds less tightly than ``level``."""
    match node:
        case tree.Compare():
            own = _COMPARE
        case tree.Pipe():
            own = _PIPE
        case tree.Then():
            own = _THEN
        case tree.Binary(op):
            own = _BINARY[op][0]
        case tree.Negate():
            own = _SIGN
        case _:
            own = _ATOM
    return render(node) if own >= level else f"({render(node)})"


def _argument(argument: tree.Argument, function: str) -> str:
    value = render(argument.value)
    return value if argument.name is None else f"{_own_name(argument.name, function)}={value}"


def _own_name(argument: str, function: str) -> str:
    """The argument's own name where the text used another one: ``to`` for ``min`` on decays."""
    from lrdsl.primitives import SEGMENTS  # only a call with named arguments needs them

    segment = SEGMENTS.get(function)
    return segment.aliases.get(argument, argument) if segment else argument


def _group(group: str | int) -> str:
    if isinstance(group, str) and (group in _KEYWORDS or not _WORD.fullmatch(group)):
        return f'"{group}"'
    return str(group)


def _number(node: tree.Number) -> str:
    """The fewest digits that are exactly the value, laid out as Python does: ``10000``, ``0.001``, ``1e-6``."""
    value = _EXACT.divide(Decimal(node.value.numerator), Decimal(node.value.denominator)).normalize(_EXACT)
    digits, last = "".join(map(str, value.as_tuple().digits)), int(value.as_tuple().exponent)
    first = len(digits) + last - 1  # the power of ten of the first digit
    if not -5 < first < 16:
        text = digits[0] + (f".{digits[1:]}" if digits[1:] else "") + f"e{first}"
    elif last >= 0:
        text = digits + "0" * last
    else:
        digits = digits.rjust(1 - last, "0")
        text = f"{digits[:last]}.{digits[last:]}"
    text += node.unit
    # A literal of almost the full length can be longer without its suffix; then it stays as it was written.
    return text if len(text) <= _LONGEST_LITERAL else node.text
