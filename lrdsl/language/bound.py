"""The bound tree: names looked up, arguments matched, units turned into steps.

What is left open is what depends on where a schedule stands: ``base`` and ``prev``
are symbols, lengths are exact numbers or `rest`. ``lowering.py`` fills them in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from lrdsl.errors import Span
from lrdsl.primitives.signature import Modifier, Segment, Structure
from lrdsl.syntax.tree import Node, Pipe


@dataclass(frozen=True, slots=True)
class Length:
    """How long a segment is: so many steps, until a position, what is left, or without end."""

    kind: Literal["steps", "until", "rest", "inf"]
    steps: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class Argued:
    """A primitive's arguments by Python name, and where each was written."""

    values: Mapping[str, Any]
    spans: Mapping[str, Span]


@dataclass(frozen=True, slots=True)
class BoundSegment:
    """A segment whose formula gives the values."""

    primitive: Segment
    arguments: Argued
    length: Length | None  # None: the primitive has no length argument
    node: Node


@dataclass(frozen=True, slots=True)
class BoundStructure:
    """A segment that rewrites the clock or the tree."""

    primitive: Structure
    arguments: Argued
    length: Length | None
    node: Node


@dataclass(frozen=True, slots=True)
class BoundSequence:
    """``a >> b >> c``."""

    parts: tuple["Bound", ...]
    node: Node


@dataclass(frozen=True, slots=True)
class BoundPointwise:
    """``a * b``, ``max(a, b)``: operands on one clock. A plain operand is a rate, as a traced number."""

    operation: str
    operands: tuple["Bound | Any", ...]
    node: Node


@dataclass(frozen=True, slots=True)
class BoundModified:
    """``body | modifier(...)``."""

    primitive: Modifier
    arguments: Argued
    length: Length | None  # of `take`, which has one of its own
    body: "Bound"
    node: Pipe


@dataclass(frozen=True, slots=True)
class Broken:
    """Stands for what could not be bound. `parts` are the schedules in it that could: they may hold more errors."""

    node: Node
    parts: tuple["Bound", ...] = ()


Bound = BoundSegment | BoundStructure | BoundSequence | BoundPointwise | BoundModified | Broken


def takes_rest(bound: Any) -> Node | None:
    """The first part of `bound` that is as long as its sequence leaves it."""
    return _open(bound, "rest")


def takes_until(bound: Any) -> Node | None:
    """The first part of `bound` that ends at a written position."""
    return _open(bound, "until")


def _open(bound: Any, kind: str) -> Node | None:
    own = getattr(bound, "length", None)
    if own is not None:
        return bound.node if own.kind == kind else None
    parts: tuple[Any, ...] = ()
    if isinstance(bound, BoundSequence):
        parts = bound.parts
    elif isinstance(bound, BoundPointwise):
        parts = bound.operands
    elif isinstance(bound, BoundModified):
        parts = (bound.body,)
    return next((found for part in parts if (found := _open(part, kind)) is not None), None)
