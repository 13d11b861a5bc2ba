"""Binding a schedule text to the parameter groups: each has its own base and its own state."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import lrdsl.schedule
from lrdsl.errors import ScheduleError
from lrdsl.language.context import key_of
from lrdsl.optim.groups import Group, addresses, named
from lrdsl.optim.ownership import ENTRIES, Binding, Cell
from lrdsl.schedule import Schedule
from lrdsl.syntax.parser import parse
from lrdsl.syntax.tree import Assign, Target

Bases = dict[str, float]
"""What a group was made with, by target."""


@dataclass(frozen=True)
class Units:
    """What turns the units of a text into steps, and its free names into numbers: keywords of ``compile``."""

    total_steps: int | None = None
    steps_per_epoch: float | None = None
    tokens_per_step: float | None = None
    samples_per_step: float | None = None
    params: Mapping[str, float] | None = None


def bases_of(group: Group, targets: Sequence[str]) -> Bases:
    """What the group holds now, by target."""
    entries = {target: ENTRIES.get(target, (target, None)) for target in targets}
    return {target: float(group[key] if part is None else group[key][part]) for target, (key, part) in entries.items()}


def usable(bases: Bases) -> Bases:
    """What a schedule may start from: dampening alone may be negative, and then it has no base."""
    return {target: base for target, base in bases.items() if base >= 0.0}


def bind(text: str | float, index: int, groups: Sequence[Group], bases: Sequence[Bases], units: Units) -> Schedule:
    """The schedule of group ``index``.

    Raises:
        ScheduleError: The text is wrong, or names a target or a group that is not there (E0803).
    """
    known = usable(bases[index])
    base_lr = known.pop("lr")
    for target in _targets(text):
        try:
            members = _members(target, groups, bases[index])
        except ScheduleError as error:
            raise error.within(str(text)) from None
        if target.group is not None:
            of = index if index in members else members[0]
            known |= usable({key_of(target.name, target.group): bases[of][target.name]})
    return lrdsl.schedule.compile(text, base_lr=base_lr, bases=known, **asdict(units))


def cells(bindings: Sequence[Binding | None], groups: Sequence[Group], targets: Sequence[str]) -> list[Cell]:
    """What the schedules govern, target by target."""
    found = []
    for target in targets:
        for index, (binding, group) in enumerate(zip(bindings, groups, strict=True)):
            track = binding and binding.schedule.track(target, *addresses(group), index)
            if binding and track:
                found.append(Cell(index, target, track, binding))
    return found


def _targets(text: str | float) -> list[Target]:
    if not isinstance(text, str):
        return []
    return [statement.target for statement in parse(text).statements if isinstance(statement, Assign)]


def _members(target: Target, groups: Sequence[Group], bases: Bases) -> list[int]:
    """Indices of the groups that a target means."""
    if target.name not in bases:
        raise ScheduleError("E0803", f"this optimizer has no `{target.name}`; it has {', '.join(bases)}", target.span)
    return list(range(len(groups))) if target.group is None else named(target.group, groups, target.span)
