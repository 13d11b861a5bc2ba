"""Schedules in checkpoints: text, context and numbers. A program is rebuilt, never loaded."""

import json
import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, Literal, TypeGuard

from lrdsl.errors import ScheduleError
from lrdsl.language.context import UNIT_KEYWORDS, key_of
from lrdsl.optim.binding import bases_of, usable
from lrdsl.optim.groups import Group
from lrdsl.optim.ownership import Binding
from lrdsl.schedule import Schedule
from lrdsl.syntax.builder import LANGUAGE

Reschedule = bool | Literal["branch"]
"""What loading a checkpoint of another schedule does."""

KEYS = ("schedule_context", "schedule_step", "schedule_state", "schedule_language")
"""What `save` adds to a group. Live groups have these keys as well, and nothing in them: a checkpoint library that
takes a state dict apart puts back only what a group already has."""
_RECORDS = ("observed", "applied", "faults")
"""What ``schedule_state`` holds besides the slots of modifiers."""


def save(binding: Binding | None, clock: int) -> dict[str, Any]:
    """The schedule of one group as numbers and strings, its records as JSON.

    A dictionary would be taken apart by `torch.distributed.checkpoint`, which loads the entries that a new optimizer
    has: what was reported in the meantime would be lost, or the checkpoint refused.
    """
    context: dict[str, float | int] = {}
    state: dict[str, dict[str, float | int]] = {}
    if binding is not None:
        schedule = binding.schedule.state_dict()
        context = schedule["context"] | ({"origin": binding.origin} if binding.origin else {})
        records = (schedule["observed"], binding.applied, binding.faults)
        state = schedule["modifiers"] | {name: dict(record) for name, record in zip(_RECORDS, records, strict=True)}
    return dict(zip(KEYS, (json.dumps(context), clock, json.dumps(state), LANGUAGE), strict=True))


def load_all(
    saved: Sequence[Mapping[str, Any]],
    own: Sequence[Schedule | None],
    targets: tuple[str, ...],
    reschedule: Reschedule,
    hint: str,
) -> tuple[int | None, list[Binding | None]]:
    """The saved clock, None in a checkpoint of torch, and what every group runs from now on.

    Args:
        saved: The groups of the state dict.
        own: The optimizer's schedule of each, newly bound.
        targets: What a schedule of this optimizer may govern.
        reschedule: What to do if a saved schedule is another one.
        hint: How users say so, if nothing was said.

    Raises:
        ScheduleError: A saved schedule is another one (E0802).
        ValueError: The checkpoint is malformed.
    """
    clocks = {step_of(group) for group in saved}
    if len(clocks) != 1:
        raise ValueError("the groups of the state dict disagree about schedule_step")
    bindings = [load(group, schedule, targets, reschedule, hint) for group, schedule in zip(saved, own, strict=True)]
    return clocks.pop(), bindings


def step_of(group: Mapping[str, Any]) -> int | None:
    """The saved clock; None in a checkpoint of torch.

    Raises:
        ValueError: It is not a step.
    """
    step = group.get("schedule_step")
    if step is not None and (not isinstance(step, int) or isinstance(step, bool) or not 0 <= step < 2**53):
        raise ValueError(f"expected schedule_step to be a whole number >= 0, got {step!r}")
    return step


def load(
    group: Mapping[str, Any], own: Schedule | None, targets: tuple[str, ...], reschedule: Reschedule, hint: str
) -> Binding | None:
    """What one group runs after a checkpoint; as `load_all`."""
    clock = step_of(group)
    if clock is None:
        return Binding(own) if own else None
    text, context, state = _read(group, clock)
    if (language := group.get("schedule_language")) != LANGUAGE:
        raise ScheduleError("E0802", f"the saved schedule is of language {language!r}, this lrdsl reads {LANGUAGE}")
    difference = _difference(text, context, own)
    if difference and not reschedule:
        raise ScheduleError("E0802", f"the saved schedule is a different one: {difference}", hint=hint)
    if own is None:
        return None
    if difference:
        return _succeed(own, dict(group), targets, clock, reschedule == "branch", state.get("applied", {}))
    entered = {key.removeprefix("prev "): value for key, value in context.items() if key.startswith("prev ")}
    schedule = own.entered(entered) if entered else own
    slots = {key: value for key, value in state.items() if key not in _RECORDS}
    observed = state.get("observed", {})
    schedule.load_state_dict(schedule.state_dict() | {"modifiers": slots, "observed": observed})
    return Binding(schedule, int(context.get("origin", 0)), state.get("applied", {}), state.get("faults", {}))


def follow(
    before: Binding | None, own: Schedule, group: Group, targets: tuple[str, ...], clock: int, branch: bool
) -> Binding:
    """What a live group runs if its schedule becomes ``own``: what it would after a checkpoint, see `load`.

    A branch is one also where the schedule is the same: it was asked for by itself.
    """
    if before and not branch and not _difference(str(before.schedule), before.schedule.context, own):
        return before
    return _succeed(own, group, targets, clock, branch, dict(before.applied) if before else {})


def _succeed(
    own: Schedule, group: Group, targets: tuple[str, ...], clock: int, branch: bool, applied: dict[str, float]
) -> Binding:
    """Another schedule takes over from what is in force in the group."""
    if branch:
        return Binding(own.entered(usable(bases_of(group, targets))), origin=clock)
    return Binding(own, applied=applied)


def _read(group: Mapping[str, Any], clock: int) -> tuple[str | None, dict[str, Any], dict[str, dict[str, Any]]]:
    text, context, state = group.get("schedule"), *(_opened(group.get(f"schedule_{k}")) for k in ("context", "state"))
    if not (text is None or isinstance(text, str)) or not _is_record(context) or not _is_state(state):
        raise ValueError("expected schedule, schedule_context and schedule_state to be text and numbers")
    if not all(0.0 <= value < math.inf for value in state.get("applied", {}).values()):
        raise ValueError("expected the applied values in schedule_state to be finite numbers >= 0")
    for step in (context.get("origin", 0), *state.get("faults", {}).values()):
        if not 0 <= step <= clock or step != int(step):
            raise ValueError(f"expected a step between 0 and {clock} in the schedule's state, got {step!r}")
    return text, dict(context), {name: dict(record) for name, record in state.items()}


def _opened(record: object) -> object:
    """A record out of its JSON; as it is in a checkpoint of before, which had dictionaries."""
    try:
        return json.loads(record) if isinstance(record, str) else record
    except (ValueError, RecursionError):
        return None


def _is_record(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping) and all(
        isinstance(key, str) and isinstance(number, Real) for key, number in value.items()
    )


def _is_state(value: object) -> TypeGuard[Mapping[str, Mapping[str, Any]]]:
    return isinstance(value, Mapping) and all(map(_is_record, value.values()))


def _difference(text: str | None, context: Mapping[str, Any], own: Schedule | None) -> str:
    """How the saved schedule differs from ours, in words; empty if it does not."""
    if text != (None if own is None else str(own)):
        return "it has none" if text is None else f"`{text}`"
    if own is None:
        return ""
    ours = own.context
    named = {key_of(*key) for key in own.tracks}
    for key in sorted(ours.keys() | context.keys()):
        unused = key.startswith("base ") and key.removeprefix("base ") not in named
        branched = key == "origin" or key.startswith("prev ")
        if unused or branched or ours.get(key) == context.get(key):
            continue
        # A text that does not speak of the length of the run, say, goes on in a longer one.
        if key not in UNIT_KEYWORDS.values() or not own.is_same_with(key, context.get(key)):
            return f"{key} was {context.get(key)}, now it is {ours.get(key)}"
    return ""
