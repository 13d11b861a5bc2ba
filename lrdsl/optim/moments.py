"""The tensors an optimizer keeps per parameter: made when first needed, laid out in memory like their parameter."""

from collections.abc import Iterable, MutableMapping
from numbers import Real
from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor

from lrdsl.optim.distributed import placement
from lrdsl.optim.tensors import CPU, is_dense, opmath, same_layout

State = dict[str, Any]

MASTER = "master"
"""The state that a parameter in low precision is written from: its float32 original."""
FLOAT32_COUNTS = 2**24
"""From this many steps on float32 cannot count by one."""


class Wanted(NamedTuple):
    """A parameter and the state it needs now."""

    name: str
    parameter: Tensor
    keys: tuple[str, ...]


def prepare(
    wanted: Iterable[Wanted], state: MutableMapping[Tensor, State], counts: torch.device | None = None
) -> list[Tensor]:
    """Make whatever state is missing, and return the parameters that got a new momentum buffer.

    A master is made from its parameter, everything else is zeros.

    Args:
        wanted: What is needed.
        state: What there is.
        counts: The device that counts the steps by itself, and shows them in tensors there; None: the host does.

    Raises:
        ValueError: State that is there does not fit its parameter. Nothing has been written then.
    """
    made = [(p, tensors) for name, p, keys in wanted if (tensors := _missing(name, p, keys, state.get(p, {}), counts))]
    unstarted = [p for p, tensors in made if "momentum_buffer" in tensors.keys() - state.get(p, {}).keys()]
    for p, tensors in made:
        state.setdefault(p, {}).update(tensors)
    return unstarted


def is_complete(wanted: Wanted, state: MutableMapping[Tensor, State], counts: torch.device) -> bool:
    """Whether `prepare` would make nothing."""
    return not _missing(*wanted, state.get(wanted.parameter, {}), counts)


def blank_momentum(state: MutableMapping[Tensor, State]) -> list[Tensor]:
    """The parameters whose momentum buffer is exactly zero, which counts as not started."""
    return [p for p, tensors in state.items() if "momentum_buffer" in tensors and not tensors["momentum_buffer"].any()]


def step_tensor(step: int, device: torch.device = CPU) -> Tensor:
    """A step count as torch keeps it: float32, and float64 where float32 cannot count."""
    return torch.tensor(float(step), dtype=torch.float32 if step < FLOAT32_COUNTS else torch.float64, device=device)


def is_step_tensor(step: object, device: torch.device = CPU) -> TypeGuard[Tensor]:
    """Whether a step count lies in memory as a step on that device writes it."""
    return (
        isinstance(step, Tensor)
        and step.dtype in (torch.float32, torch.float64)
        and step.layout == torch.strided
        and step.device == device
        and step.numel() == 1
    )


def whole(name: str, step: object) -> int:
    """The step count of a parameter, in whatever form it was given.

    Raises:
        ValueError, TypeError: It is not a whole number >= 0.
    """
    if isinstance(step, Tensor):
        if step.numel() != 1 or step.is_complex() or step.is_meta:
            raise ValueError(f"step of {name}: expected one whole number, got {step.dtype} of {tuple(step.shape)}")
        step = step.item()
    if not isinstance(step, Real):
        raise TypeError(f"step of {name}: expected a whole number, got {type(step).__name__}")
    value = float(step)
    if not 0 <= value < 2**53 or value != int(value):
        raise ValueError(f"step of {name}: expected a whole number >= 0, got {value!r}")
    return int(value)


def write_step(state: State, step: int, device: torch.device = CPU) -> None:
    """Put a step count into a parameter's state, in place where it fits."""
    tensor = state.get("step")
    if is_step_tensor(tensor, device) and (step < FLOAT32_COUNTS) == (tensor.dtype == torch.float32):
        tensor.fill_(step)
    else:
        state["step"] = step_tensor(step, device)


def zeros_like(p: Tensor) -> Tensor:
    """Zeros for the state of ``p``: in its memory layout, or without gaps in its order of dimensions."""
    return torch.zeros_like(p, dtype=opmath(p), memory_format=torch.preserve_format, requires_grad=False)


def master_of(p: Tensor, state: State) -> Any:
    """What ``p`` is written from, if it has a master."""
    return state.get(MASTER) if opmath(p) != p.dtype else None


def check_fits(what: str, p: Tensor, tensor: object) -> None:
    """Raise ValueError unless ``tensor`` is one of the parameter's shape and device, in the dtype of its update."""
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{what}: expected a tensor, got {type(tensor).__name__}")
    for quality, expected in (("shape", p.shape), ("dtype", opmath(p)), ("device", p.device)):
        got = getattr(tensor, quality)
        if expected != got:
            raise ValueError(f"{what}: expected {quality} {expected}, got {got}")
    if placement(tensor) != placement(p):
        raise ValueError(f"{what}: expected it spread as {placement(p)}, got {placement(tensor)}")


def _missing(name: str, p: Tensor, keys: tuple[str, ...], present: State, counts: torch.device | None) -> State:
    """New tensors for every key that has none, or whose tensor has to move."""
    tensors: State = {}
    layout = p if is_dense(p) else torch.empty_like(p, device="meta")
    for key in keys:
        tensor = present.get(key)
        if key == "step":
            if counts is not None and is_step_tensor(tensor, counts):
                continue  # read once, where the device takes the count over
            step = 0 if tensor is None else whole(name, tensor)
            if counts is not None:
                tensors[key] = step_tensor(step, counts)
            elif not is_step_tensor(tensor) or (step >= FLOAT32_COUNTS and tensor.dtype != torch.float64):
                tensors[key] = step_tensor(step)
        elif tensor is None:
            tensors[key] = zeros_like(p).copy_(p.detach().resolve_neg()) if key == MASTER else zeros_like(p)
        else:
            check_fits(f"{key} of {name}", p, tensor)
            if not same_layout(layout, tensor):
                tensors[key] = zeros_like(p).copy_(tensor.detach())
    return tensors
