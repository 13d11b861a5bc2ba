"""The state dict, from torch's optimizers or ours. Everything is read and checked before anything is written."""

import copy
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor

from lrdsl.optim.distributed import local, placement
from lrdsl.optim.groups import Group, check_switches, named_parameters, number, settle
from lrdsl.optim.hypers import Hyper
from lrdsl.optim.moments import MASTER, State, whole, write_step, zeros_like
from lrdsl.optim.resume import KEYS
from lrdsl.optim.rules import Rules
from lrdsl.optim.tensors import Named, is_dense, opmath


class Keys(NamedTuple):
    """Which state a parameter needs, and which it may have."""

    needed: set[str]
    possible: set[str]


@dataclass
class Loaded:
    """A checkpoint that fits.

    Attributes:
        options: What each group takes over.
        state: Tensors of every parameter, in the optimizer's own storage where there is some.
        copies: What belongs into those tensors.
        steps: Updates that a parameter has seen.
    """

    options: list[Group] = field(default_factory=list)
    state: dict[Tensor, State] = field(default_factory=dict)
    copies: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    steps: dict[Tensor, int] = field(default_factory=dict)

    @property
    def largest_step(self) -> int:
        """The most updates that a parameter has seen."""
        return max(self.steps.values(), default=0)

    @torch.no_grad()
    def install(self, groups: Sequence[Group], state: MutableMapping[Tensor, State], counts: torch.device) -> None:
        """Write it; nothing can fail any more. Step counts go to the device ``counts``."""
        for group, options in zip(groups, self.options, strict=True):
            rate = group["lr"]
            group.update(options)
            if isinstance(rate, Tensor) and rate.is_floating_point():
                group["lr"] = rate.fill_(options["lr"])
        state.clear()
        state.update(self.state)
        for to, value in self.copies:
            to.copy_(value)
        for p, step in self.steps.items():
            write_step(state[p], step, counts)


def read(
    state_dict: Mapping[str, Any],
    rules: Rules,
    groups: Sequence[Group],
    state: Mapping[Tensor, State],
    masters: bool,
) -> Loaded:
    """Check a state dict against an optimizer.

    Args:
        state_dict: As given to ``load_state_dict``.
        rules: Which optimizer.
        groups: Its groups.
        state: Its state, whose storage stays where it is.
        masters: Whether its parameters in low precision may have a master.

    Raises:
        ValueError, TypeError: It does not fit; the message says where.
    """
    saved_groups = state_dict.get("param_groups")
    if not isinstance(state_dict.get("state"), Mapping) or not _are_groups(saved_groups):
        raise ValueError("expected a state dict with the keys state and param_groups")
    if len(saved_groups) != len(groups):
        raise ValueError(f"expected {len(groups)} parameter groups, got {len(saved_groups)}")
    loaded = Loaded()
    owners: dict[Any, tuple[Named, Hyper]] = {}
    names = iter(named_parameters(groups))
    for index, (group, saved) in enumerate(zip(groups, saved_groups, strict=True)):
        if len(saved["params"]) != len(group["params"]):
            raise ValueError(f"group {index}: expected {len(group['params'])} parameters, got {len(saved['params'])}")
        options, hyper = _read_options(index, group, saved, rules)
        loaded.options.append(options)
        owners.update((key, (next(names), hyper)) for key in saved["params"])
    if len(owners) != sum(len(group["params"]) for group in groups):
        raise ValueError("a parameter of the state dict is listed twice")
    for key, tensors in state_dict["state"].items():
        if key not in owners:
            raise ValueError(f"the state dict has state for {key!r}, which is in none of its groups")
        (name, p), hyper = owners[key]
        possible = {*rules.state} | ({MASTER} if masters and opmath(p) != p.dtype else set())
        _read_state(loaded, Named(name, p), tensors, Keys({*rules.state_keys(hyper)}, possible), state)
    loaded.copies = _apart(loaded.copies)
    return loaded


def _are_groups(value: object) -> TypeGuard[Sequence[Mapping[str, Any]]]:
    return isinstance(value, Sequence) and all(
        isinstance(group, Mapping) and isinstance(group.get("params"), Sequence) for group in value
    )


def _read_options(index: int, group: Group, saved: Mapping[str, Any], rules: Rules) -> tuple[Group, Hyper]:
    # The base of a schedule is the constructor's, never the checkpoint's.
    own = {"params", "schedule", *KEYS, *({"initial_lr"} if group["schedule"] is not None else ())}
    options = copy.deepcopy({key: value for key, value in saved.items() if key not in own}) | dict(rules.fixed)
    options |= {key: group[key] for key in ("capturable",) if key in group}
    settled = settle(group | options, rules.options)
    check_switches(index, settled)
    rate = number(index, "lr", settled["lr"])
    hyper = rules.read_group(index, settled)
    names = settled.get("param_names")
    if names is not None and len(names) != len(group["params"]):
        raise ValueError(f"group {index}: expected {len(group['params'])} parameter names, got {len(names)}")
    return {key: settled[key] for key in options} | {"lr": rate}, hyper


def _read_state(loaded: Loaded, named: Named, saved: object, keys: Keys, state: Mapping[Tensor, State]) -> None:
    """Check the saved state of one parameter and find a place for it."""
    name, p = named
    if not isinstance(saved, Mapping):
        raise ValueError(f"state of {name}: expected a dict, got {type(saved).__name__}")
    tensors = {key: value for key, value in saved.items() if value is not None}
    if not tensors:
        return
    needed, possible = keys
    if MASTER in tensors.keys() - possible:
        raise ValueError(f"state of {name}: it has a master, which is for low precision with master_weights=True")
    if not needed <= tensors.keys() <= possible:
        raise ValueError(f"state of {name}: expected {', '.join(sorted(needed))}, got {', '.join(map(str, tensors))}")
    place: State = {}
    for key, value in tensors.items():
        if key == "step":
            loaded.steps[p] = whole(name, value)
            place[key] = state.get(p, {}).get(key)
            continue
        if not _holds_floats(value):
            raise TypeError(f"{key} of {name}: expected a dense tensor of floats")
        if value.shape != p.shape:
            raise ValueError(f"{key} of {name}: expected shape {tuple(p.shape)}, got {tuple(value.shape)}")
        if placement(value) != placement(p):
            raise ValueError(f"{key} of {name}: expected it spread as {placement(p)}, got {placement(value)}")
        place[key] = _storage(p, state.get(p, {}).get(key))
        loaded.copies.append((place[key], value.detach()))
    loaded.state[p] = place


def _holds_floats(value: object) -> TypeGuard[Tensor]:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.is_floating_point()
        and value.device.type != "meta"
    )


def _storage(p: Tensor, present: object) -> Tensor:
    """Where a moment goes: to where it was, so that addresses stay, or to new memory."""
    if _holds_floats(present) and (present.shape, present.dtype, present.device) == (p.shape, opmath(p), p.device):
        writable = torch.is_inference_mode_enabled() or not present.is_inference()
        if writable and is_dense(present):
            return present.detach() if present.requires_grad else present
    return zeros_like(p)


def _apart(copies: Sequence[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
    """The same copies, in any order: a value that lies where another one goes is set aside."""
    written = {local(to).untyped_storage().data_ptr() for to, _ in copies}
    shared = (local(value).untyped_storage().data_ptr() in written for _, value in copies)
    return [(to, value.clone() if clash else value) for (to, value), clash in zip(copies, shared, strict=True)]
