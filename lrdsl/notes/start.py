"""What to write so that a schedule does not start at 0."""

from dataclasses import replace
from fractions import Fraction

from lrdsl.language.memory import Placed
from lrdsl.language.printer import render
from lrdsl.primitives import SEGMENTS
from lrdsl.program.expr import STEP
from lrdsl.syntax import tree
from lrdsl.track import Track


def above_zero(first: tree.Node, track: Track) -> str:
    """A hint about the first segment, right wherever it stands in its text."""
    if isinstance(first, tree.Call) and _is_written(first) and first.function in SEGMENTS:
        if first.function == "warmup":
            return f"`({render(_longer(first))} | skip(1))`, or a `from` above 0"
        if SEGMENTS[first.function].parameter("from"):
            return "give it a `from` above 0"
    if any(_is_formula(placed) and _is_part(placed, first) for placed in track.lowered.placed):
        return "let the formula start above 0"  # in which `skip` leaves `step` as it is
    return "`(... | skip(1))` leaves that step out"


def _is_formula(placed: Placed) -> bool:
    return placed.bound.primitive.name == "expr" and placed.begin <= 0 < placed.end


def _is_part(placed: Placed, whole: tree.Node) -> bool:
    """Does a segment run from the start, or stand inside what does?"""
    start, end = placed.bound.node.span
    return placed.clock is STEP or (whole.span[0] <= start and end <= whole.span[1])


def _is_written(call: tree.Call) -> bool:
    """Is it in the text? `wsd` and `points` are run as other segments."""
    start, end = call.function_span
    return end - start == len(call.function)


def _longer(call: tree.Call) -> tree.Call:
    """The call with a length of one step more; `rest` and `until` say where it ends, and stay."""

    def argument(index: int, given: tree.Argument) -> tree.Argument:
        if given.name == "n" or (given.name is None and index == 0):
            return replace(given, value=_plus_one(given.value))
        return given

    return replace(call, arguments=tuple(argument(*each) for each in enumerate(call.arguments)))


def _plus_one(length: tree.Node) -> tree.Node:
    match length:
        case tree.Rest():
            return length
        case tree.Number(value, ""):
            return tree.Number(value + 1)
    return tree.Binary("+", length, tree.Number(Fraction(1)))
