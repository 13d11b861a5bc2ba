"""A whole text: its `let`s, its targets, and the schedule of each."""

from lrdsl.errors import ScheduleError
from lrdsl.language.binder import Binder
from lrdsl.language.bound import Bound
from lrdsl.language.context import TARGETS
from lrdsl.language.hints import suggestion
from lrdsl.language.printer import render
from lrdsl.language.values import Word, describe
from lrdsl.syntax import tree

_JOIN = "`>>` runs one segment after another: `lr = warmup(500) >> cosine(1000)`"
Key = tuple[str, str | int | None]
"""A target and a group; None is every group."""


def bind_script(script: tree.Script, binder: Binder) -> list[tuple[Key, Bound]]:
    """The schedule of every target and group that a text names; a bare one is that of ``lr``."""
    errors = binder.errors
    bound: list[tuple[Key, Bound]] = []
    named: set[Key] = set()
    placed: list[tree.Assign | tree.Bare] = []
    for statement in script.statements:
        if isinstance(statement, tree.Let):
            _define(statement, binder)
            continue
        key: Key = ("lr", None)
        with errors:
            _check_kind(statement, placed)
        with errors:
            if isinstance(statement, tree.Assign):
                key = _key(statement.target)
                if key in named:
                    raise ScheduleError(
                        "E0213", f"`{render(statement.target)}` is set twice", statement.target.span, _JOIN
                    )
                named.add(key)
        placed.append(statement)
        with errors:
            bound.append((key, binder.schedule(statement.value)))
    if not placed:
        span = script.statements[-1].span
        hint = "add one after it: `let ...; lr = ...`"
        errors.add(ScheduleError("E0113", "there is no schedule here, only `let`", span, hint))
    return bound


def _check_kind(statement: tree.Assign | tree.Bare, earlier: list[tree.Assign | tree.Bare]) -> None:
    if earlier and type(earlier[0]) is not type(statement):
        hint = f"name {'the other' if isinstance(statement, tree.Assign) else 'this'} one too: `lr = ...`"
        raise ScheduleError("E0112", "named and unnamed schedules are mixed", statement.span, hint)
    if earlier and isinstance(statement, tree.Bare):
        message = "a schedule without a name must be the only one"
        hint = "`>>` runs one segment after another; or name both: `lr = ...; weight_decay = ...`"
        raise ScheduleError("E0111", message, statement.span, hint)


def _define(let: tree.Let, binder: Binder) -> None:
    before = binder.errors.failures
    with binder.errors:
        binder.define(let)
    with binder.errors:
        value = binder.bind(let.value)
        if isinstance(value, Word):
            message = f"`{let.name}` would be {describe(value)}; `let` holds a number, a duration, a rate or a schedule"
            raise ScheduleError("E0309", message, let.value.span)
    binder.defined(let, right=binder.errors.failures == before)


def _key(target: tree.Target) -> Key:
    if target.name not in TARGETS:
        label = suggestion(target.name, TARGETS) or f"targets are {', '.join(TARGETS)}"
        if target.name == "betas":
            label = "write `beta1 = ...; beta2 = ...`"
        span = target.span[0], target.span[0] + len(target.name)
        raise ScheduleError("E0212", f"unknown target `{target.name}`", span, label)
    return target.name, target.group
