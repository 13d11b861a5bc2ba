"""The syntax tree: frozen nodes with spans.

A node says what was written and knows no schedule names. Equality ignores spans and spelling, so
``cosine(10k)`` and ``cosine( 10000 )`` are the same tree. Unary ``+``, parentheses and comments leave no node.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from lrdsl.errors import Span


@dataclass(frozen=True, slots=True)
class Node:
    """Anything with a place in the text."""

    span: Span = field(default=(0, 0), kw_only=True, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Number(Node):
    """``500``, ``10%``, ``0.1x``: an exact value (``k M B T`` multiplied in) and its unit.

    ``unit`` is ``""``, ``"%"``, ``"x"``, ``"ep"``, ``"tok"`` or ``"smp"``.
    """

    value: Fraction
    unit: str = ""
    text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class String(Node):
    """``"val_loss"``."""

    value: str


@dataclass(frozen=True, slots=True)
class Flag(Node):
    """``true`` or ``false``."""

    value: bool


@dataclass(frozen=True, slots=True)
class Rest(Node):
    """``rest``: what a sequence leaves of the run."""


@dataclass(frozen=True, slots=True)
class Name(Node):
    """``total``, ``base``, or anything else that is looked up later."""

    id: str


@dataclass(frozen=True, slots=True)
class Argument(Node):
    """One argument of a call; ``name`` is None if it is positional."""

    value: Node
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Call(Node):
    """``function(arguments)``."""

    function: str
    arguments: tuple[Argument, ...] = ()
    function_span: Span = field(default=(0, 0), kw_only=True, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Items(Node):
    """``[a, b]``."""

    items: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Negate(Node):
    """``-operand``."""

    operand: Node


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """``left op right``; ``op`` is one of ``+ - * / **``."""

    op: str
    left: Node
    right: Node
    op_span: Span = field(default=(0, 0), kw_only=True, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Compare(Node):
    """``left op right``; ``op`` is one of ``< <= > >= == !=``."""

    op: str
    left: Node
    right: Node
    op_span: Span = field(default=(0, 0), kw_only=True, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Then(Node):
    """``a >> b >> c``: two or more parts, none of them a `Then`."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Pipe(Node):
    """``left | right``: the right side modifies the left one."""

    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Target(Node):
    """What a statement sets: ``lr``, ``lr[head]``, ``lr["a.b"]``, ``lr[0]``."""

    name: str
    group: str | int | None = None


@dataclass(frozen=True, slots=True)
class Let(Node):
    """``let name = value``."""

    name: str
    value: Node
    name_span: Span = field(default=(0, 0), kw_only=True, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Assign(Node):
    """``target = value``."""

    target: Target
    value: Node


@dataclass(frozen=True, slots=True)
class Bare(Node):
    """A schedule without a name."""

    value: Node


@dataclass(frozen=True, slots=True)
class Script(Node):
    """A whole text: at least one statement."""

    statements: tuple[Let | Assign | Bare, ...]


def children(node: Node) -> tuple[Node, ...]:
    """The values right below ``node``, in the order of the text."""
    match node:
        case Call():
            return tuple([argument.value for argument in node.arguments])
        case Then():
            return node.parts
        case Pipe() | Binary() | Compare():
            return (node.left, node.right)
        case Negate():
            return (node.operand,)
        case Items():
            return node.items
        case _:
            return ()
