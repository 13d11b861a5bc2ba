"""Notes about single segments."""

from bisect import bisect_left
from collections.abc import Iterator
from fractions import Fraction

from lrdsl.errors import Note, Span
from lrdsl.language.memory import Placed
from lrdsl.program.expr import STEP, const, known, substitute
from lrdsl.program.program import FOREVER
from lrdsl.syntax import tree

DECAYS = ("linear", "cosine", "polynomial", "one_minus_sqrt", "geometric", "tanh")
MEANT_FLAT = ("hold", "constant", "expr")
ROUNDED = Fraction(1, 2000)
"""A change by rounding, relative, that is worth a note: below it are all lengths of a thousand steps or more."""


def matters(exact: Fraction, steps: int) -> bool:
    """Has rounding changed a number of steps by enough to be worth a note?"""
    return abs(steps - exact) > exact * ROUNDED


def notes(target: str, placed: Placed, total: int | None) -> Iterator[Note]:
    """N0703 for learning rates, N0708 for milestones, N0709, N0710, N0711, and N0712 for lengths."""
    name, node = placed.bound.primitive.name, placed.bound.node
    length = placed.bound.length
    if placed.begin == placed.end:
        yield Note("N0710", f"`{name}` has no steps: only the value at its end counts", node.span)
        return
    if target == "lr":
        yield from _rises(placed)
    yield from _flat(placed, total)
    yield from _milestones(placed, total)
    n = placed.end - placed.begin
    if length is not None and length.kind == "steps" and matters(length.steps, n):
        yield Note("N0712", f"`n` of `{name}` is {float(length.steps):.6g} steps: it runs for {n}", _span(placed, "n"))
    elif length is not None and length.kind == "until" and matters(length.steps, placed.end):
        message = f"`until` of `{name}` is step {float(length.steps):.6g}, rounded to {placed.end}"
        yield Note("N0712", message, _span(placed, "until"))


def _rises(placed: Placed) -> Iterator[Note]:
    """N0703, unless both ends are written, or there is no way but up."""
    name = placed.bound.primitive.name
    if name not in DECAYS or "from" in placed.bound.arguments.spans:
        return
    start, to = known(placed.arguments["from_"]), known(placed.arguments["to"])
    if start is not None and to is not None and 0 < start < to:
        span = _span(placed, "to")
        numbers = (n.text for n in _written(placed) if isinstance(n, tree.Number) and n.span == span and not n.unit)
        hint = next((f"`{text}` is absolute, `{text}x` a multiple of base" for text in numbers), None)
        yield Note("N0703", f"`{name}` rises here, from {start:g} to {to:g}", span, hint)


def _flat(placed: Placed, total: int | None) -> Iterator[Note]:
    name, n = placed.bound.primitive.name, placed.end - placed.begin
    if name in MEANT_FLAT:
        return
    if placed.end == FOREVER:
        n = max(1000, (total or 0) - placed.begin)
    value = _at(placed, 0)
    if not value:  # only reports say what it is; or base is 0, where everything is flat
        return
    if placed.arguments.get("values") is not None:
        same = all(known(entry) == value for entry in placed.arguments["values"])
    else:
        same = all(_at(placed, step) == value for step in (1, n // 3, n // 2, n - 1, n))
    if same:
        yield Note("N0709", f"`{name}` is flat: it is {value:g} from start to end", placed.bound.node.span)


def _at(placed: Placed, t: int) -> float | None:
    """A segment's value at local time `t`; None where something in it is known only later."""
    if placed.begin + t == placed.end:
        return known(placed.out)
    return known(substitute(placed.value, {placed.clock.payload: const(placed.begin + t)}))


def _milestones(placed: Placed, total: int | None) -> Iterator[Note]:
    """N0708 and N0711, both for milestones; those of `points` are no cuts."""
    if placed.bound.primitive.name != "multistep":
        return
    at = placed.arguments["at_"]
    what = "a value of `values` is never used" if placed.arguments["values"] else "it counts twice"
    for index in range(1, len(at)):
        if at[index] == at[index - 1] and at[index - 2 : index - 1] != at[index : index + 1]:  # once for three and more
            yield Note("N0711", f"milestone {at[index]} is repeated: {what}", _entry(placed, index))
    late = bisect_left(at, (total or FOREVER) - placed.begin)
    if late < len(at) and placed.clock is STEP:
        step = f" (step {placed.begin + at[late]})" if placed.begin else ""
        message = f"milestone {at[late]}{step} is never reached: the run has {total} steps"
        yield Note("N0708", message, _entry(placed, late))


def _span(placed: Placed, name: str) -> Span:
    return placed.bound.arguments.spans.get(name, placed.bound.node.span)


def _written(placed: Placed) -> tuple[tree.Node, ...]:
    """The arguments as they are written."""
    return tree.children(placed.bound.node)


def _entry(placed: Placed, index: int) -> Span:
    """Where an entry of `at` is written; the whole argument if it is not written as a list there."""
    span = _span(placed, "at")
    lists = (n.items[index] for n in _written(placed) if isinstance(n, tree.Items) and n.span == span)
    return next((item.span for item in lists), span)
