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
LAST = 2**53  # the last step: up to here every whole number is a double
LOCALS = 3
DEPTH = 8
METRICS = ("loss", "accuracy")


def _code(choices: bytes, constants: int, slots: int, leaves: int, *, reports: bool) -> list[tuple[int, int]]:
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
            if slots:
                put(row.name, argument % slots)
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
    """A verified Program with one to three segments and up to two machines, each with a metric and a scope."""
    numbers = st.sampled_from(SPECIAL) | st.floats(allow_nan=True, allow_infinity=True)
    constants = tuple(draw(st.lists(numbers, min_size=1, max_size=6)))
    begins = [0, *sorted(draw(st.sets(st.integers(1, LAST - 1), max_size=2)))]
    owned = draw(st.lists(st.integers(1, 3), max_size=2))  # slots of each machine
    code: list[tuple[int, int]] = []

    def run(leaves: int, *, reports: bool = False) -> Code:
        choices = draw(st.binary(min_size=8, max_size=60))
        fresh = _code(choices, len(constants), sum(owned), leaves, reports=reports)
        code.extend(fresh)
        return Code(len(code) - len(fresh), len(fresh))

    segments = tuple(Segment(begin, run(1)) for begin in begins)
    scopes = st.sampled_from((0, 1, 100, *begins, LAST)) | st.integers(0, LAST)
    machines: list[Machine] = []
    for index, slots in enumerate(owned):
        begin, end = sorted((draw(scopes), draw(scopes | st.just(FOREVER))))
        metric = draw(st.sampled_from(range(len(METRICS))))
        hears = draw(st.booleans())
        machines.append(Machine(metric, begin, end, sum(owned[:index]), slots, hears, run(slots, reports=True)))
    state = tuple(draw(st.lists(numbers, min_size=sum(owned), max_size=sum(owned))))
    names = tuple(f"{machine}.{slot}" for machine, slots in enumerate(owned) for slot in range(slots))
    program = Program(segments, tuple(machines), tuple(code), constants, state, names, METRICS, DEPTH, LOCALS)
    verify(program)
    return program


def steps_of(program: Program, count: int, seed: int) -> array[int]:
    """Distinct steps: boundaries and their neighbours, small ones, and jumps up to 2**53."""
    rng = random.Random(seed)
    edges = (max(0, segment.begin + d) for segment in program.segments for d in (-1, 0, 1))
    steps = dict.fromkeys([*edges, 0, 1, 2, 3, LAST - 1, LAST])
    while len(steps) < count:
        steps[rng.randrange(2 ** rng.randint(1, 53))] = None
    return array("q", list(steps)[:count])


def report_steps(program: Program) -> list[int]:
    """Steps inside, at and beyond the ends of every machine's scope; 0 at least."""
    edges = (edge + d for machine in program.machines for edge in (machine.begin, machine.end) for d in (-1, 0))
    return sorted({0, *(edge for edge in edges if 0 <= edge <= LAST)})
