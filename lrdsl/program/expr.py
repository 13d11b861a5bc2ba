"""`Expr`: a formula that traces itself into opcodes.

A primitive is a plain Python function. Called with floats it computes; called with
`Expr` it builds a graph, from which the assembler makes code. The helpers below
(`mix`, `sinpi`, `select`, …) and the operators accept either. What is constant is
folded at once, by the very function that the evaluators run.
"""

import itertools
import math
import operator
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from lrdsl.program import elementary
from lrdsl.program.arithmetic import FLOATS
from lrdsl.program.opcodes import OPCODES
from lrdsl.program.program import too_large


class Expr:
    """One node of a formula: an opcode over operands, or a leaf.

    Leaves are ``CONSTANT`` (payload: the float), ``STEP``, ``STATE`` (payload: the slot),
    ``REPORT`` and ``SYMBOL`` (payload: a name that `substitute` must fill in before assembly).
    """

    __slots__ = ("operands", "operation", "payload")

    def __init__(self, operation: str, operands: tuple["Expr", ...] = (), payload: Any = None) -> None:
        self.operation = operation
        self.operands = operands
        self.payload = payload

    @property
    def constant(self) -> float | None:
        """The value, if it is known now."""
        return self.payload if self.operation == "CONSTANT" else None

    def __bool__(self) -> bool:
        raise TypeError("a formula is traced, not run: use select(condition, yes, no) instead of `if`")

    def __repr__(self) -> str:
        if not self.operands:
            return str(self.payload) if self.payload is not None else self.operation.lower()
        return f"{self.operation.lower()}({', '.join(map(repr, self.operands))})"

    def __add__(self, other: Any) -> "Expr":
        return _node("ADD", self, other)

    def __radd__(self, other: Any) -> "Expr":
        return _node("ADD", other, self)

    def __sub__(self, other: Any) -> "Expr":
        return _node("SUB", self, other)

    def __rsub__(self, other: Any) -> "Expr":
        return _node("SUB", other, self)

    def __mul__(self, other: Any) -> "Expr":
        return _node("MUL", self, other)

    def __rmul__(self, other: Any) -> "Expr":
        return _node("MUL", other, self)

    def __truediv__(self, other: Any) -> "Expr":
        return _node("DIV", self, other)

    def __rtruediv__(self, other: Any) -> "Expr":
        return _node("DIV", other, self)

    def __neg__(self) -> "Expr":
        return _node("NEG", self)

    def __abs__(self) -> "Expr":
        return _node("ABS", self)

    def __lt__(self, other: Any) -> "Expr":
        return _node("LT", self, other)

    def __le__(self, other: Any) -> "Expr":
        return _node("LE", self, other)

    def __gt__(self, other: Any) -> "Expr":
        return _node("LT", other, self)

    def __ge__(self, other: Any) -> "Expr":
        return _node("LE", other, self)


Scalar = Expr | float
"""What a formula's helper takes and gives: a traced number or a plain one."""

STEP = Expr("STEP", (), "step")
REPORT = Expr("REPORT")
_FRESH = itertools.count()


class _Budget(threading.local):
    """Nodes that may still be made; outside of `bounded`, any number."""

    left = math.inf


_BUDGET = _Budget()


@contextmanager
def bounded(nodes: int) -> Iterator[None]:
    """Refuse (E0907) to make or walk through more than so many nodes: a short text may ask for millions."""
    outer = _BUDGET.left
    _BUDGET.left = allowed = min(nodes, outer)
    try:
        yield
    finally:
        _BUDGET.left += outer - allowed


def _spend(nodes: int) -> None:
    _BUDGET.left -= nodes
    if _BUDGET.left < 0:
        raise too_large()


_MEANING = {row.name: row.meaning for row in OPCODES if row.meaning is not None}


def const(value: float) -> Expr:
    """A number known now."""
    return Expr("CONSTANT", (), float(value))


def known(value: Any) -> float | None:
    """The number that a traced or plain value is, if that is known now; else None. Plain values stay as they are."""
    return value.constant if isinstance(value, Expr) else value


def symbol(name: str) -> Expr:
    """A number that `substitute` will fill in."""
    return Expr("SYMBOL", (), name)


def fresh() -> Expr:
    """A symbol like no other."""
    return symbol(f"fresh {next(_FRESH)}")


def state(slot: int) -> Expr:
    """The content of a state slot."""
    return Expr("STATE", (), slot)


def _node(operation: str, *operands: Any) -> Expr:
    _spend(1)
    nodes = tuple([x if isinstance(x, Expr) else const(x) for x in operands])
    known = [x.payload for x in nodes if x.operation == "CONSTANT"]
    if not known and operation != "SELECT":
        return Expr(operation, nodes)
    if len(known) == len(nodes):
        return const(_MEANING[operation](FLOATS, *known))
    simpler = _identity(operation, nodes)
    return Expr(operation, nodes) if simpler is None else simpler


def _identity(operation: str, nodes: tuple[Expr, ...]) -> Expr | None:
    """What an operation with a neutral operand comes to; exact for every float."""
    first, last = nodes[0], nodes[-1]
    if operation == "MUL" and first.constant == 1.0:
        return last
    if operation in ("MUL", "DIV") and last.constant == 1.0:
        return first
    if operation == "SUB" and last.constant == 0.0 and math.copysign(1.0, last.payload) > 0:
        return first
    if operation == "SELECT" and first.constant is not None:
        return nodes[1] if first.constant != 0.0 else nodes[2]
    if operation == "SELECT" and _same(nodes[1], nodes[2]):
        return nodes[1]
    if operation == "MIX" and last.constant is not None and last.constant in (0.0, 1.0):
        return nodes[0] if last.constant == 1.0 else nodes[1]  # rates are finite: no 0 * inf is lost
    return None


def _same(a: Expr, b: Expr) -> bool:
    """Is it one node, or one constant with the same bits?"""
    return a is b or (a.constant is not None and b.constant is not None and a.constant.hex() == b.constant.hex())


def apply(operation: str, *operands: Scalar) -> Any:
    """An opcode on floats (computed) or on anything traced (a new node)."""
    if any(isinstance(x, Expr) for x in operands):
        return _node(operation, *operands)
    return _MEANING[operation](FLOATS, *(float(x) for x in operands if not isinstance(x, Expr)))


def substitute(root: Expr, symbols: Mapping[str | int, Expr]) -> Expr:
    """`root` with symbols (and ``step``) replaced by name, state by slot; what becomes constant folds."""
    done: dict[int, Expr] = {}
    stack = [root]
    while stack:  # the walk of `postorder`
        node = stack[-1]
        if id(node) not in done:
            found = node
            if node.operands:
                waiting = [x for x in node.operands if id(x) not in done]
                if waiting:
                    stack.extend(reversed(waiting))
                    continue
                operands = [done[id(x)] for x in node.operands]
                if not all(map(operator.is_, operands, node.operands)):
                    found = _node(node.operation, *operands)
            elif node.operation in ("SYMBOL", "STEP", "STATE"):
                found = symbols.get(node.payload, node)
            done[id(node)] = found
        stack.pop()
    _spend(len(done))
    return done[id(root)]


def symbols_in(root: Expr) -> set[str]:
    """The names `root` still waits for."""
    return {node.payload for node in postorder(root) if node.operation == "SYMBOL"}


def postorder(root: Expr) -> Iterator[Expr]:
    """Every node once, operands first. Without recursion: a formula may be deeper than Python's stack."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        node = stack[-1]
        if id(node) not in seen:
            waiting = [x for x in node.operands if id(x) not in seen]
            if waiting:
                stack.extend(reversed(waiting))
                continue
            seen.add(id(node))
            yield node
        stack.pop()


# --- the vocabulary of formulas ------------------------------------------------------------------------------


def select(condition: Scalar, yes: Scalar, no: Scalar) -> Any:
    """`yes` where `condition` is not 0, else `no`; both are computed."""
    return apply("SELECT", condition, yes, no)


def mix(start: Scalar, end: Scalar, w: Scalar) -> Any:
    """``end + (start - end) * w``: `start` at w = 1, `end` at w = 0, both exact."""
    return apply("MIX", start, end, w)


def minimum(a: Scalar, b: Scalar) -> Any:
    """The smaller of two."""
    return apply("MIN", a, b)


def maximum(a: Scalar, b: Scalar) -> Any:
    """The larger of two."""
    return apply("MAX", a, b)


def equal(a: Scalar, b: Scalar) -> Any:
    """1 if a = b, else 0. (``==`` on `Expr` keeps Python's meaning.)."""
    return apply("EQ", a, b)


def either(a: Scalar, b: Scalar) -> Any:
    """Is one of two answers yes?"""
    return maximum(a, b)


def both(a: Scalar, b: Scalar) -> Any:
    """Are two answers yes?"""
    return apply("MUL", a, b)


def finite(a: Scalar) -> Any:
    """1 if `a` is neither infinite nor nan, else 0."""
    return apply("FINITE", a)


def floor(a: Scalar) -> Any:
    """Largest whole number not above `a`."""
    return apply("FLOOR", a)


def ceil(a: Scalar) -> Any:
    """Smallest whole number not below `a`."""
    return apply("CEIL", a)


def sqrt(a: Scalar) -> Any:
    """Square root; nan below 0."""
    return apply("SQRT", a)


def square(a: Scalar) -> Any:
    """``a * a``."""
    return apply("MUL", a, a)


def sinpi(a: Scalar) -> Any:
    """``sin(pi * a)``, exact at multiples of 1/2."""
    return apply("SINPI", a)


def cospi(a: Scalar) -> Any:
    """``cos(pi * a)``, exact at multiples of 1/2."""
    return apply("COSPI", a)


def exp2(a: Scalar) -> Any:
    """``2 ** a``."""
    return apply("EXP2", a)


def exp(a: Scalar) -> Any:
    """``e ** a``."""
    return apply("EXP", a)


def log2(a: Scalar) -> Any:
    """Logarithm to base 2."""
    return apply("LOG2", a)


def log(a: Scalar) -> Any:
    """Natural logarithm."""
    return apply("LOG", a)


def log1p(a: Scalar) -> Any:
    """``log(1 + a)`` with all its digits near 0: what the sum loses, the quotient gives back (Kahan)."""
    grown = 1.0 + a
    return select(equal(grown, 1.0), a, log(grown) * (a / (grown - 1.0)))


def expm1(a: Scalar) -> Any:
    """``e ** a - 1`` with all its digits near 0, by the same trick."""
    grown = exp(a)
    part = grown - 1.0
    return select(equal(grown, 1.0), a, select(equal(part, -1.0), -1.0, part * (a / log(grown))))


def power(x: Scalar, y: Scalar, over: float = 1.0) -> Any:
    """``x ** (y / over)``; where only `x` is known now, its logarithm is taken and divided now, in double-double."""
    base = x.constant if isinstance(x, Expr) else float(x)
    if base == 1.0:
        return const(1.0) if isinstance(y, Expr) else 1.0
    if base is not None and 0.0 < base < elementary.INF and isinstance(y, Expr) and y.constant is None:
        return apply("POWER_OF", y, *_logarithm(base, over))
    return apply("POWER", x, y / over)


@lru_cache(maxsize=256)
def _logarithm(base: float, over: float) -> tuple[float, float]:
    """``log2(base) / over`` as a double-double: the same factor stands in every piece of a schedule."""
    return elementary.divide(*elementary.log2_of(base), over)


def round_index(t: Scalar, length: Scalar, factor: Scalar) -> Any:
    """Which round holds step `t`, when round c lasts ``length * factor ** c`` steps."""
    return apply("ROUND_INDEX", t, length, factor)


def round_start(t: Scalar, length: Scalar, factor: Scalar) -> Any:
    """The first step of that round."""
    return apply("ROUND_START", t, length, factor)
