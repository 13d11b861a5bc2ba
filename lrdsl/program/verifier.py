"""A Program is checked before it runs: bounded code, stack, slots and segments.

``csrc/program.h`` makes the same checks on the packed form. There is no jump to check:
code is a straight line, so what passes here stops.
"""

import itertools

from lrdsl.program.opcodes import NUMBER, OPCODES
from lrdsl.program.program import CODE, STACK, Code, Program

CONSTANT, STATE, REPORT = NUMBER["CONSTANT"], NUMBER["STATE"], NUMBER["REPORT"]
LOAD, STORE = NUMBER["LOAD"], NUMBER["STORE"]


def verify(program: Program) -> None:
    """Raise ValueError unless every evaluator may run `program` blindly."""
    if len(program.code) > CODE or not 0 < program.stack <= STACK or not 0 <= program.locals <= STACK:
        raise ValueError("code, stack or locals beyond the limits")
    if len(program.slots) != len(program.state):
        raise ValueError("every state slot needs a name")
    begins = [segment.begin for segment in program.segments]
    if not begins or begins[0] != 0 or any(b <= a for a, b in itertools.pairwise(begins)):
        raise ValueError("segments must begin at 0 and follow each other")
    for segment in program.segments:
        _run(program, segment.code, 1, reports=False)
    free = 0
    for machine in program.machines:
        if not 0 <= machine.metric < len(program.metrics) or not 0 <= machine.begin <= machine.end:
            raise ValueError("a machine's metric or scope is out of range")
        if machine.slot != free or machine.slots < 1:
            raise ValueError("machines must own the state slots one after another")
        if machine.skipped not in (0, 1):
            raise ValueError("a machine hears of skipped updates or not")
        free += machine.slots
        _run(program, machine.code, machine.slots, reports=True)
    if free != len(program.state):
        raise ValueError("a state slot belongs to no machine")


def _run(program: Program, code: Code, leaves: int, *, reports: bool) -> None:
    if code.start < 0 or code.count < 1 or code.start + code.count > len(program.code):
        raise ValueError("code outside the Program")
    depth, stored = 0, set()
    for operation, argument in program.code[code.start : code.start + code.count]:
        if not 0 <= operation < len(OPCODES):
            raise ValueError(f"unknown opcode {operation}")
        limit = {CONSTANT: len(program.constants), STATE: len(program.state), STORE: program.locals}.get(operation, 1)
        if operation == LOAD and argument not in stored:
            raise ValueError("a local is read before it is written")
        if operation != LOAD and not 0 <= argument < limit:
            raise ValueError(f"argument {argument} of {OPCODES[operation].name} is out of range")
        if operation == REPORT and not reports:
            raise ValueError("REPORT outside an update")
        if operation == STORE:
            stored.add(argument)
        if depth < OPCODES[operation].arity:
            raise ValueError("stack underflow")
        depth += 1 - OPCODES[operation].arity
        if depth > program.stack:
            raise ValueError("stack overflow")
    if depth != leaves:
        raise ValueError(f"code leaves {depth} numbers, expected {leaves}")
