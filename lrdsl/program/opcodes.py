"""The instruction set of a Program: one row per opcode.

A Program runs on a small stack machine without jumps. `meaning` is the definition,
written over a number system so that the scalar and the NumPy evaluator share it;
`cxx` is the same expression in C++, from which ``csrc/opcodes.inc`` is generated.
Both columns mean the same for *every* float: nan, infinities, both zeros.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lrdsl.program import elementary
from lrdsl.program.arithmetic import Arithmetic


@dataclass(frozen=True, slots=True)
class Opcode:
    """One instruction: takes `arity` numbers from the stack and leaves one."""

    name: str
    arity: int
    cxx: str
    doc: str
    meaning: Callable[..., Any] | None = None  # None: moves data, see the evaluators


def _finite(m: Arithmetic, a: Any) -> Any:
    return m.number(m.absolute(a) < elementary.INF)


def _mix(m: Arithmetic, a: Any, b: Any, w: Any) -> Any:
    return m.select(w == 1.0, a, b + (a - b) * w)


# The order is the numbering: append new rows, so that packed programs of one release stay readable in the next.
OPCODES: tuple[Opcode, ...] = (
    # Data movement; the instruction's argument says which.
    Opcode("CONSTANT", 0, "", "constant number `argument`"),
    Opcode("STEP", 0, "", "the step being evaluated"),
    Opcode("STATE", 0, "", "state slot `argument`"),
    Opcode("REPORT", 0, "", "the observed value; in an update only"),
    Opcode("LOAD", 0, "", "local `argument`"),
    Opcode("STORE", 1, "", "copy the top of the stack to local `argument` and leave it"),
    # Arithmetic.
    Opcode("ADD", 2, "a + b", "sum", lambda m, a, b: a + b),
    Opcode("SUB", 2, "a - b", "difference", lambda m, a, b: a - b),
    Opcode("MUL", 2, "a * b", "product", lambda m, a, b: a * b),
    Opcode("DIV", 2, "a / b", "quotient", lambda m, a, b: m.divide(a, b)),
    Opcode("NEG", 1, "-a", "negation", lambda m, a: -a),
    Opcode("ABS", 1, "absolute(a)", "magnitude", lambda m, a: m.absolute(a)),
    Opcode("SQRT", 1, "square_root(a)", "square root", lambda m, a: m.sqrt(a)),
    Opcode("FLOOR", 1, "round_down(a)", "largest whole number not above", lambda m, a: m.floor(a)),
    Opcode("CEIL", 1, "round_up(a)", "smallest whole number not below", lambda m, a: m.ceil(a)),
    Opcode("MIN", 2, "b < a ? b : a", "smaller of two", lambda m, a, b: m.select(b < a, b, a)),
    Opcode("MAX", 2, "b > a ? b : a", "larger of two", lambda m, a, b: m.select(b > a, b, a)),
    # Questions: 1 for yes, 0 for no.
    Opcode("LT", 2, "a < b ? 1.0 : 0.0", "is a < b", lambda m, a, b: m.number(a < b)),
    Opcode("LE", 2, "a <= b ? 1.0 : 0.0", "is a <= b", lambda m, a, b: m.number(a <= b)),
    Opcode("EQ", 2, "a == b ? 1.0 : 0.0", "is a == b", lambda m, a, b: m.number(a == b)),
    Opcode("FINITE", 1, "absolute(a) < INFINITE ? 1.0 : 0.0", "is a neither infinite nor nan", _finite),
    Opcode("SELECT", 3, "a != 0.0 ? b : c", "b if a else c", lambda m, a, b, c: m.select(a != 0.0, b, c)),
    # From b (w = 0) to a (w = 1): exact at both ends, constant where a = b.
    Opcode("MIX", 3, "c == 1.0 ? a : b + (a - b) * c", "b + (a - b) * w, exact at both ends", _mix),
    # Elementary functions, each in elementary.py and csrc/elementary.h.
    Opcode("SINPI", 1, "sinpi(a)", "sin(pi a)", lambda m, a: elementary.sinpi(a, m)),
    Opcode("COSPI", 1, "cospi(a)", "cos(pi a)", lambda m, a: elementary.cospi(a, m)),
    Opcode("EXP2", 1, "exp2(a)", "2 ** a", lambda m, a: elementary.exp2(a, m)),
    Opcode("EXP", 1, "exp(a)", "e ** a", lambda m, a: elementary.exp(a, m)),
    Opcode("LOG2", 1, "log2(a)", "logarithm to base 2", lambda m, a: elementary.log2(a, m)),
    Opcode("LOG", 1, "log(a)", "natural logarithm", lambda m, a: elementary.log(a, m)),
    Opcode("POWER", 2, "power(a, b)", "a ** b", lambda m, a, b: elementary.power(a, b, m)),
    # A constant base has its logarithm taken once, when the Program is made: (b, c) is that double-double.
    Opcode("POWER_OF", 3, "power_of(a, b, c)", "2 ** (a (b + c))", lambda m, a, b, c: elementary.power_of(a, b, c, m)),
    # Rounds of growing length (repeat with mult > 1): which one, and where it began.
    Opcode(
        "ROUND_INDEX",
        3,
        "round_index(a, b, c)",
        "index of the round that holds step a; round k lasts b c**k steps",
        lambda m, a, b, c: elementary.round_index(a, b, c, m),
    ),
    Opcode(
        "ROUND_START",
        3,
        "round_start(a, b, c)",
        "first step of that round",
        lambda m, a, b, c: elementary.round_start(a, b, c, m),
    ),
)

NUMBER: dict[str, int] = {row.name: index for index, row in enumerate(OPCODES)}
"""Opcode numbers by name."""
