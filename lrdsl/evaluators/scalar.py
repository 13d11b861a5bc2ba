"""The reference evaluator: plain Python, one step at a time.

Slow and obvious. What a Program means is what this file computes; NumPy, C++ and
CUDA must give its bits.
"""

from array import array
from bisect import bisect_right

from lrdsl.program.arithmetic import FLOATS
from lrdsl.program.opcodes import NUMBER, OPCODES
from lrdsl.program.program import Code, Program
from lrdsl.program.verifier import verify

CONSTANT, STEP, STATE, REPORT = NUMBER["CONSTANT"], NUMBER["STEP"], NUMBER["STATE"], NUMBER["REPORT"]
LOAD, STORE = NUMBER["LOAD"], NUMBER["STORE"]


class ScalarEvaluator:
    """Runs one Program with Python floats."""

    name = "scalar"

    def __init__(self, program: Program) -> None:
        verify(program)
        self.program = program
        self._begins = [segment.begin for segment in program.segments]

    def value(self, step: int, state: "array[float]") -> float:
        """The value for update `step`."""
        segment = self.program.segments[bisect_right(self._begins, step) - 1]
        return self._run(segment.code, step, state, 0.0)[0]

    def values(self, steps: "array[int]", state: "array[float]") -> "array[float]":
        """The values for many updates."""
        return array("d", (self.value(step, state) for step in steps))

    def observe(self, metric: str, report: float, step: int, state: "array[float]", skipped: bool = False) -> None:
        """Take a report made before update `step`; `state` changes in place."""
        program = self.program
        for machine in program.machines:
            heard = program.metrics[machine.metric] == metric and (machine.skipped or not skipped)
            if heard and machine.begin <= step < machine.end:
                fresh = self._run(machine.code, step, state, report)
                state[machine.slot : machine.slot + machine.slots] = array("d", fresh)

    def _run(self, code: Code, step: int, state: "array[float]", report: float) -> list[float]:
        program = self.program
        stack: list[float] = []
        kept = [0.0] * program.locals
        for operation, argument in program.code[code.start : code.start + code.count]:
            # What moves data reaches into the evaluator, so each spells it out; the rest is the opcode's own meaning.
            if operation == CONSTANT:
                stack.append(program.constants[argument])
            elif operation == STEP:
                stack.append(float(step))
            elif operation == STATE:
                stack.append(state[argument])
            elif operation == REPORT:
                stack.append(report)
            elif operation == LOAD:
                stack.append(kept[argument])
            elif operation == STORE:
                kept[argument] = stack[-1]
            else:
                row = OPCODES[operation]
                assert row.meaning is not None
                stack[-row.arity :] = [row.meaning(FLOATS, *stack[-row.arity :])]
        return stack
