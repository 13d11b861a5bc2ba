"""Random Programs: anything the verifier accepts, far beyond what any text lowers to."""

from __future__ import annotations

import math
import random
from array import array

from hypothesis import strategies as st

from lrdsl.program.opcodes import NUMBER, OPCODES
from lrdsl.program.program import FOREVER, Code, Machine, Program, Segment
from lrdsl.program.verifier import verify

SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0, 0.1, 1e-3, math.inf, -math.inf, math.nan, 5e-324, 1e308, 2.0**53)
LOCALS = 3
SLOTS = 2
DEPTH = 8


def _code(choices: bytes, constants: int, leaves: int, *, reports: bool) -> list[tuple[int, int]]:
    """Valid straight-line code steered by `choices`, ending with `leaves` numbers on the stack."""
    code: list[tuple[int, int]] = []
    depth, stored = 0, set()

    def put(name: str, argument: int = 0) -> None:
        nonlocal depth
        code.append((NUMBER[name], argument))
        depth += 1 - OPCODES[NUMBER[name]].arity

    pairs = zip(choices[::2], choices[1::2], strict=False)
    for choice, argument in pairs:
        row = OPCODES[choice % len(OPCODES)]
        if row.arity > depth or (row.arity == 0 and depth == DEPTH):
            continue
        if row.name == "CONSTANT":
            put(row.name, argument % constants)
        elif row.name == "STATE":
            put(row.name, argument % SLOTS)
        elif row.name == "REPORT":
            if reports:
                put(row.name)
        elif row.name == "LOAD":
            if stored:
                put(row.name, sorted(stored)[argument % len(stored)])
        elif row.name == "STORE":
            stored.add(argument % LOCALS)
            put(row.name, argument % LOCALS)
        else:
            put(row.name)
    while depth < leaves:
        put("STEP")
    while depth > leaves:
        put("ADD")
    return code


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """A verified Program with one to three segments and, often, a machine."""
    numbers = st.sampled_from(SPECIAL) | st.floats(allow_nan=True, allow_infinity=True)
    constants = tuple(draw(st.lists(numbers, min_size=1, max_size=6)))
    begins = [0, *sorted(draw(st.sets(st.integers(1, 2**53 - 1), max_size=2)))]
    code: list[tuple[int, int]] = []

    def run(leaves: int, *, reports: bool = False) -> Code:
        fresh = _code(draw(st.binary(min_size=8, max_size=60)), len(constants), leaves, reports=reports)
        code.extend(fresh)
        return Code(len(code) - len(fresh), len(fresh))

    segments = tuple(Segment(begin, run(1)) for begin in begins)
    end = draw(st.sampled_from((100, 2**53, FOREVER)))
    machine = Machine(0, 0, end, 0, SLOTS, run(SLOTS, reports=True))
    state = tuple(draw(st.lists(numbers, min_size=SLOTS, max_size=SLOTS)))
    slots = tuple(f"m.{i}" for i in range(SLOTS))
    program = Program(segments, (machine,), tuple(code), constants, state, slots, ("loss",), DEPTH, LOCALS)
    verify(program)
    return program


def steps_of(program: Program, count: int, seed: int) -> array[int]:
    """Boundaries and their neighbours, small steps, and jumps up to 2**53."""
    rng = random.Random(seed)
    edges = [max(0, segment.begin + d) for segment in program.segments for d in (-1, 0, 1)]
    steps = [*edges, 0, 1, 2, 3, 2**53 - 1, 2**53]
    while len(steps) < count:
        steps.append(rng.randrange(2 ** rng.randint(1, 53)))
    return array("q", steps[:count])
