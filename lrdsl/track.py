"""`Track`: one target of one group, live, and the table of its segments."""

import math
from array import array
from dataclasses import dataclass
from typing import Any

from lrdsl import evaluators
from lrdsl.evaluators.scalar import ScalarEvaluator
from lrdsl.language.lowering import Lowered
from lrdsl.language.printer import render
from lrdsl.program.assembler import Assembler
from lrdsl.program.expr import Expr
from lrdsl.program.program import FOREVER, Segment


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """One row of a schedule's segment table.

    Attributes:
        begin: First step.
        end: Step after the last; inf if it never ends.
        label: The segment's canonical text.
        first: Value at `begin`.
        last: Value at ``end - 1``; nan for an endless segment.
        out: Value flowing on at `end`; nan for an endless segment.
        jump: ``first`` relative to what stood before, minus 1; 0 where nothing jumps.
    """

    begin: int
    end: float
    label: str
    first: float
    last: float
    out: float
    jump: float


class Track:
    """One target of one group, live: a Program, the evaluator that runs it, and its state."""

    __slots__ = ("evaluator", "lowered", "program", "state")

    def __init__(self, lowered: Lowered) -> None:
        self.lowered = lowered
        self.program = lowered.program
        self.evaluator = evaluators.evaluator(self.program)
        self.state = array("d", self.program.state)

    def value(self, step: int) -> float:
        """The value for update `step`, with the state of now."""
        return self.evaluator.value(step, self.state)

    def values(self, steps: Any) -> Any:
        """The values for an int64 buffer of updates."""
        return self.evaluator.values(steps, self.state)

    def observe(self, metric: str, report: float, step: int) -> None:
        """Take a report made before update `step`."""
        self.evaluator.observe(metric, report, step, self.state)

    def reset(self) -> None:
        """Forget every report."""
        self.state[:] = array("d", self.program.state)

    @property
    def length(self) -> float:
        """Steps until the value is held for ever; inf if that never happens."""
        end = self.lowered.stretch.end
        return math.inf if end == FOREVER else end

    def settle(self, value: Expr) -> float:
        """A value that flows from one segment to the next, with the state of now."""
        if value.constant is not None:
            return value.constant
        code = Assembler()
        segment = Segment(0, code.add([value]))
        program = self.program
        closed = code.finish([segment], program.machines, program.state, program.slots, program.metrics)
        return ScalarEvaluator(closed).value(0, self.state)

    def segments(self) -> tuple[SegmentRow, ...]:
        """The segment table: begin, end, label, values in and out, jumps."""
        rows: list[SegmentRow] = []
        before: float | None = None
        for piece in self.lowered.stretch.pieces:
            first = self.value(piece.begin)
            endless = piece.end == FOREVER
            last = math.nan if endless else self.value(piece.end - 1)
            out = math.nan if endless else self.settle(piece.out)
            jump = 0.0 if before is None or before == first else (first / before - 1 if before else math.inf)
            label = render(piece.origin)
            rows.append(SegmentRow(piece.begin, math.inf if endless else piece.end, label, first, last, out, jump))
            before = out
        return tuple(rows)
