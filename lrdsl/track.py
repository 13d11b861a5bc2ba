"""`Track`: one target of one group, live, and the table of its segments."""

import math
from array import array
from dataclasses import dataclass
from typing import Any

from lrdsl import evaluators
from lrdsl.errors import Span
from lrdsl.language.lowering import Lowered
from lrdsl.language.printer import render
from lrdsl.language.values import roughly
from lrdsl.program.expr import Expr, const, substitute
from lrdsl.program.program import FOREVER
from lrdsl.syntax import tree


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """One row of a schedule's segment table.

    Attributes:
        begin: First step.
        end: Step after the last; inf if it never ends.
        label: The segment's canonical text.
        modifiers: Canonical texts of the modifiers it goes through, in order.
        first: Value at `begin`.
        last: Value at ``end - 1``; nan for an endless segment.
        out: Value flowing on at `end`; nan for an endless segment.
        jump: ``first`` relative to what stood before, minus 1; 0 where nothing jumps.
        span: Where the segment is written.
    """

    begin: int
    end: float
    label: str
    modifiers: tuple[str, ...]
    first: float
    last: float
    out: float
    jump: float
    span: Span

    @property
    def change(self) -> str:
        """The jump in words: ``+10 %``, ``500x``, ``from 0``; empty where nothing jumps."""
        if math.isinf(self.jump):
            return "from 0"
        if self.jump >= 9:
            return f"{roughly(1 + self.jump)}x"
        return f"{100 * self.jump:+.3g} %" if self.jump else ""


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

    def observe(self, metric: str, report: float, step: int, skipped: bool = False) -> None:
        """Take a report made before update `step`, also if that is `skipped`."""
        self.evaluator.observe(metric, report, step, self.state, skipped)

    def reset(self) -> None:
        """Forget every report."""
        self.restore(array("d", self.program.state))

    def restore(self, slots: "array[float]") -> None:
        """Take back the state, where it is in memory."""
        if slots:  # an empty array that somebody looks into refuses even this
            self.state[:] = slots

    @property
    def length(self) -> float:
        """Steps until the value is held for ever; inf if that never happens."""
        end = self.lowered.stretch.end
        return math.inf if end == FOREVER else end

    def segments(self, state: "array[float] | None" = None) -> tuple[SegmentRow, ...]:
        """The segment table: begin, end, label, values in and out, jumps; at the state of now, or a given one."""
        state = self.state if state is None else state
        rows: list[SegmentRow] = []
        texts: dict[int, str] = {}  # many pieces come from the same nodes

        def text(node: tree.Node) -> str:
            return texts.get(id(node)) or texts.setdefault(id(node), render(node))

        before: float | None = None
        for piece in self.lowered.stretch.pieces:
            endless = piece.end == FOREVER
            first = self.evaluator.value(piece.begin, state)
            last = math.nan if endless else self.evaluator.value(piece.end - 1, state)
            out = math.nan if endless else _settle(piece.out, state)
            jump = 0.0 if before is None or before == first else (first / before - 1 if before else math.inf)
            modifiers = tuple(map(text, piece.modifiers))
            end = math.inf if endless else piece.end
            label, span = text(piece.origin), piece.origin.span
            rows.append(SegmentRow(piece.begin, end, label, modifiers, first, last, out, jump, span))
            before = out
        return tuple(rows)


def _settle(value: Expr, state: "array[float]") -> float:
    """A value that flows from one segment to the next: nothing but the state is left open in it."""
    settled = substitute(value, {slot: const(x) for slot, x in enumerate(state)}).constant
    assert settled is not None
    return settled
