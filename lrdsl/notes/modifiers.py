"""Notes about modifiers."""

import math
from array import array
from collections.abc import Iterator

from lrdsl import evaluators
from lrdsl.errors import Note, ScheduleError
from lrdsl.language.memory import Changed
from lrdsl.program.assembler import Assembler
from lrdsl.program.expr import STEP, Expr, postorder
from lrdsl.program.program import FOREVER, Segment
from lrdsl.program.stretch import Stretch
from lrdsl.track import Track

LOOKS = 65536
"""Steps at which it is seen whether a clamp acts; a shorter scope is seen whole."""


def notes(track: Track, total: int | None) -> Iterator[Note]:
    """N0706 and N0707."""
    for changed in track.lowered.changed:
        if changed.primitive.name == "plateau":
            yield from _never_fires(changed, total)
        elif changed.primitive.name == "clamp" and changed.clock is STEP:
            yield from _clamps(changed, total)


def _never_fires(changed: Changed, total: int | None) -> Iterator[Note]:
    """N0706: even with one report per step there are too few."""
    end = changed.body.end
    steps = (end if total is None else min(end, total)) - max(changed.body.begin, 0)
    needed = (changed.arguments["patience"] + 2) * changed.arguments["every"]
    if 0 < steps < needed:
        message = f"`plateau` can never fire: it takes {needed} reports, and there are {steps} steps to make them in"
        yield Note("N0706", message, changed.call.span, "a first best, then `patience` + 1 bad ones")


def _clamps(changed: Changed, total: int | None) -> Iterator[Note]:
    low, high = _bound(changed.arguments["min"], 0.0), _bound(changed.arguments["max"], math.inf)
    values = _values(changed.body, total)
    if low is None or high is None or not values:
        return
    inside = [low <= value <= high for value in values]
    if all(inside):
        message = f"`clamp` never acts: what is on its left stays between {min(values):g} and {max(values):g}"
        yield Note("N0707", message, changed.call.span)
    elif not any(inside):
        message = "`clamp` always acts: what is on its left is never within the bounds"
        yield Note("N0707", message, changed.call.span)


def _bound(bound: Expr | None, otherwise: float) -> float | None:
    return otherwise if bound is None else bound.constant


def _values(body: Stretch, total: int | None) -> list[float] | None:
    """What `body` is along its scope; None if that depends on reports, or `body` is too large to be run by itself."""
    pieces = [piece for piece in body.pieces if piece.end > 0]  # what `skip` leaves out may begin before step 0
    if any(node.operation in ("STATE", "SYMBOL") for piece in pieces for node in postorder(piece.value)):
        return None
    begin, end = max(body.begin, 0), min(body.end, FOREVER if total is None else total)
    if end == FOREVER:
        end = 1000 + max(piece.begin for piece in pieces)
    if end <= begin:
        return None
    assembler = Assembler()
    try:
        segments = [Segment(p.begin if i else 0, assembler.add([p.value])) for i, p in enumerate(pieces)]
    except ScheduleError:
        return None
    program = assembler.finish(segments, [], [], [], [])
    edges = {step for p in pieces for edge in (p.begin, p.end, *p.marks) for step in (edge - 1, edge)}
    spread = range(begin, end, max(1, (end - begin) // LOOKS))
    steps = sorted({*spread, end - 1, *(edge for edge in edges if begin <= edge < end)})
    return list(map(float, evaluators.evaluator(program).values(array("q", steps), array("d"))))
