"""A whole text: its `let`s, its targets, and the schedule of each."""

from lrdsl.errors import ScheduleError, Span
from lrdsl.language.binder import Binder
from lrdsl.language.bound import Bound
from lrdsl.language.context import TARGETS, Context
from lrdsl.language.hints import suggestion
from lrdsl.language.printer import render
from lrdsl.language.values import Word, describe
from lrdsl.syntax import tree

_SECOND = "`>>` runs one segment after another; or name both: `lr = ...; weight_decay = ...`"
_JOIN = "`>>` runs one segment after another: `lr = warmup(500) >> cosine(1000)`"
Key = tuple[str, str | int | None]
"""A target and a group; None is every group."""


def bind_script(script: tree.Script, context: Context) -> dict[Key, Bound]:
    """The schedule of every target and group that a text names; a bare one is that of ``lr``."""
    binder = Binder(context)
    named: dict[Key, Bound] = {}
    bare: Bound | None = None
    for statement in script.statements:
        if isinstance(statement, tree.Let):
            _define(statement, binder)
        elif isinstance(statement, tree.Assign):
            if bare is not None:
                raise _mixed(statement.span, "name the other one too: `lr = ...`")
            key = _key(statement.target)
            if key in named:
                raise ScheduleError("E0213", f"`{render(statement.target)}` is set twice", statement.target.span, _JOIN)
            named[key] = binder.schedule(statement.value)
        else:
            if named:
                raise _mixed(statement.span, "name this one too: `lr = ...`")
            if bare is not None:
                message = "a schedule without a name must be the only one"
                raise ScheduleError(
                    "E0111",
                    message,
                    statement.span,
                    "`>>` runs one segment after another; or name both: `lr = ...; weight_decay = ...`",
                )
            bare = binder.schedule(statement.value)
    if bare is not None:
        return {("lr", None): bare}
    if not named:
        span = script.statements[-1].span
        raise ScheduleError(
            "E0113", "there is no schedule here, only `let`", span, "add one after it: `let ...; lr = ...`"
        )
    return named


def _define(let: tree.Let, binder: Binder) -> None:
    binder.define(let)
    value = binder.bind(let.value)
    if isinstance(value, Word):
        message = f"`{let.name}` would be {describe(value)}; `let` holds a number, a duration, a rate or a schedule"
        raise ScheduleError("E0309", message, let.value.span)
    binder.defined(let)


def _key(target: tree.Target) -> Key:
    if target.name not in TARGETS:
        label = suggestion(target.name, TARGETS) or f"targets are {', '.join(TARGETS)}"
        if target.name == "betas":
            label = "write `beta1 = ...; beta2 = ...`"
        span = target.span[0], target.span[0] + len(target.name)
        raise ScheduleError("E0212", f"unknown target `{target.name}`", span, label)
    return target.name, target.group


def _mixed(span: Span, hint: str) -> ScheduleError:
    return ScheduleError("E0112", "named and unnamed schedules are mixed", span, hint)
