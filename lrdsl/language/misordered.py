"""Calls whose arguments are right but stand in another order, or lack the brackets of a list."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from lrdsl.errors import ScheduleError
from lrdsl.language.printer import quoted, render
from lrdsl.language.scope import POINTWISE
from lrdsl.primitives import SEGMENTS
from lrdsl.primitives.signature import Primitive
from lrdsl.syntax import tree

if TYPE_CHECKING:
    from lrdsl.language.binder import Binder


def misordered(node: tree.Call, primitive: Primitive, binder: Binder) -> ScheduleError | None:
    """One error for the whole call, where one for each argument would be as many riddles; None if nothing is amiss.

    By the kinds of the parameters: a list first (`multistep`), rounds before a body (`repeat`), a body first
    (`cycle`), a metric by name only (`plateau`), a length first (all segments that have one).
    """
    positional = [argument.value for argument in node.arguments if argument.name is None]
    kinds = [parameter.kind.name for parameter in primitive.parameters]
    if not positional or not kinds:
        return None
    first = positional[0]
    if kinds[0] == "positions" and isinstance(first, tree.Number):
        return _without_brackets(node, primitive, positional)
    if kinds[:2] == ["times", "schedule"] and _is_schedule(first):
        return _body_first(node, positional)
    if "schedule" in kinds[: len(positional)] and isinstance(positional[kinds.index("schedule")], tree.Number):
        return _length_for_body(node, positional[kinds.index("schedule")])
    if "rates" in kinds and (error := _values_by_position(node, primitive, positional)):
        return error
    if "metric" in kinds:
        return _unnamed_metric(positional, kinds, primitive, binder)
    if kinds[0] == "steps" and len(positional) > 1 and _is_share(first) and any(map(_is_length, positional[1:])):
        message = f"`{primitive.parameters[0].name}` of `{node.function}` must be a whole number of steps"
        hint = f"the length comes first: {primitive.signature}"
        return ScheduleError("E0405", f"{message}, got {quoted(first)[1:-1]}", first.span, hint)
    return None


def _without_brackets(node: tree.Call, primitive: Primitive, positional: list[tree.Node]) -> ScheduleError:
    """``multistep(30, 80)``: all numbers that are no factor below 1 are entries."""
    entries = [value for value in positional if isinstance(value, tree.Number) and not _is_share(value)]
    written = (tree.Argument(tree.Items(tuple(entries))), *(a for a in node.arguments if a.value not in entries))
    message = f"`{primitive.parameters[0].name}` of `{node.function}` must be a list, got {quoted(positional[0])}"
    return ScheduleError("E0316", message, positional[0].span, f"write `{render(replace(node, arguments=written))}`")


def _values_by_position(node: tree.Call, primitive: Primitive, positional: list[tree.Node]) -> ScheduleError | None:
    """``multistep([30, 60], [1, 2, 3])``."""
    values = next(parameter for parameter in primitive.parameters if parameter.kind.name == "rates")
    for parameter, value in zip(primitive.parameters, positional, strict=False):
        if isinstance(value, tree.Items) and parameter.kind.name not in ("positions", "rates"):
            message = f"`{parameter.name}` of `{node.function}` needs a number; {quoted(value)} is a list"
            return ScheduleError("E0303", message, value.span, f"write `{values.name}={render(value)}`")
    return None


def _body_first(node: tree.Call, positional: list[tree.Node]) -> ScheduleError:
    """``repeat(cosine(100), 3)``."""
    times: tree.Node = next((a.value for a in node.arguments if a.name == "times"), tree.Number(Fraction(3)))
    rest = positional[1:]
    if rest and not _is_schedule(rest[0]):
        times = rest[0]
    body = quoted(positional[0])[1:-1]
    message = f"`times` of `{node.function}` needs a number; `{body}` is a schedule"
    hint = f"the number comes first: `{node.function}({render(times)}, {body})`"
    return ScheduleError("E0309", message, positional[0].span, hint)


def _length_for_body(node: tree.Call, length: tree.Node) -> ScheduleError:
    """``cycle(10, mult=2)``."""
    body = tree.Call("cosine", (tree.Argument(length),))
    arguments = tuple(tree.Argument(body) if a.value is length else a for a in node.arguments)
    message = f"{quoted(length)} is a number, not a schedule"
    return ScheduleError("E0309", message, length.span, f"write `{render(replace(node, arguments=arguments))}`")


def _unnamed_metric(
    positional: list[tree.Node], kinds: list[str], primitive: Primitive, binder: Binder
) -> ScheduleError | None:
    """``plateau(loss)``."""
    metric = primitive.parameters[kinds.index("metric")].name
    for kind, value in zip(kinds, positional, strict=False):
        if kind in ("metric", "choice") or not isinstance(value, tree.Name):
            continue
        if value.id != "none" and not _has_meaning(value, binder):
            hint = f"write `{metric}={value.id}`"
            return ScheduleError("E0201", f"unknown name `{value.id}`", value.span, hint)
    return None


def _has_meaning(name: tree.Name, binder: Binder) -> bool:
    return binder.reserved(name.id) or name.id in binder.names() or name.id == binder.defining


def _is_schedule(node: tree.Node) -> bool:
    return isinstance(node, tree.Then | tree.Pipe) or (
        isinstance(node, tree.Call) and (node.function in SEGMENTS or node.function in POINTWISE)
    )


def _is_share(node: tree.Node) -> bool:
    return isinstance(node, tree.Number) and not node.unit and 0 < node.value < 1


def _is_length(node: tree.Node) -> bool:
    """No rate or power is so large."""
    return isinstance(node, tree.Number) and not node.unit and node.value >= 10 and node.value.denominator == 1
