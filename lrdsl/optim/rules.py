"""What tells one optimizer from another."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from lrdsl.optim.groups import Group
from lrdsl.optim.hypers import Hyper
from lrdsl.optim.moments import State


@dataclass(frozen=True)
class Rules:
    """An optimizer's arguments and its update.

    Attributes:
        kind: Its number in the native step.
        targets: What a schedule may govern.
        options: The entries of a group that ``read_group`` looks at.
        state: All state that a parameter may have.
        read_group: Checks a group, given with its index, and gives its numbers, all but the rate.
        state_keys: The state that every parameter of a group needs.
        update: The update of one parameter in plain torch, in place. The last argument says whether its momentum
            buffer holds something.
        fixed: Entries of a group that no checkpoint changes.
    """

    kind: int
    targets: tuple[str, ...]
    options: tuple[str, ...]
    state: tuple[str, ...]
    read_group: Callable[[int, Group], Hyper]
    state_keys: Callable[[Hyper], tuple[str, ...]]
    update: Callable[[Tensor, Tensor, State, Hyper, bool], None]
    fixed: Mapping[str, Any] = field(default_factory=dict)
