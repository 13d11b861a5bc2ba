"""Parameter groups: taking over what a user gave, reading numbers from them, naming their parameters."""

import math
from collections.abc import Collection, Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from lrdsl.errors import ScheduleError, Span
from lrdsl.optim.tensors import NUMBERS, Named

Group = dict[str, Any]


def number(index: int, name: str, value: Any, below: float = math.inf, least: float = 0.0) -> float:
    """A group's value as a float.

    Raises:
        ValueError: It is not finite, less than ``least`` or not below ``below``; a tensor has more than one element.
        TypeError: It is not a number.
    """
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ValueError(f"group {index}: expected {name} to be one number, got a tensor of {value.numel()}")
    if not isinstance(value, Tensor | Real):
        raise TypeError(f"group {index}: expected {name} to be a number, got {value!r}")
    result = float(value)
    if not (least <= result < below and math.isfinite(result)):
        wanted = f"at least {least:g} and below {below:g}"
        if below == math.inf:
            wanted = "a finite number" + (f" >= {least:g}" if least > -math.inf else "")
        raise ValueError(f"group {index}: expected {name} to be {wanted}, got {result!r}")
    return result


def flag(index: int, name: str, value: Any) -> bool:
    """A group's switch.

    Raises:
        TypeError: It is neither True nor False.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"group {index}: expected {name} to be True or False, got {value!r}")
    return bool(value)


def pair(index: int, name: str, value: Any) -> tuple[Any, Any]:
    """A group's two values.

    Raises:
        ValueError: They are not two.
    """
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ValueError(f"group {index}: expected {name} to be two numbers, got {value!r}")
    return value[0], value[1]


def check_switches(index: int, group: Group) -> None:
    """Refuse what only other optimizers can do.

    Raises:
        ValueError: It is asked for.
        TypeError: A switch is neither True nor False.
    """
    if flag(index, "differentiable", group.get("differentiable", False)):
        raise ValueError(f"group {index}: differentiable=True: the fused step has no derivative; torch.optim has one")
    flag(index, "capturable", group.get("capturable", False))


def refuse_capturable(index: int, why: str) -> None:
    """Raise ValueError: only a step on a device can be captured."""
    raise ValueError(f"group {index}: capturable=True: this step cannot be captured in a CUDA graph: {why}")


def rate_on(device: torch.device, rate: Any) -> Tensor:
    """A rate where a device reads and writes it."""
    if not isinstance(rate, Tensor):
        return torch.tensor(float(rate), dtype=torch.float32, device=device)
    return rate.resolve_neg().to(device, rate.dtype if rate.dtype in NUMBERS else torch.float32)


def check_rate(index: int, rate: Any) -> None:
    """Raise unless ``rate`` is a learning rate, in a form that a scheduled one can be written to.

    Raises:
        ValueError, TypeError: As `number`; it is a tensor of integers.
    """
    if isinstance(rate, Tensor) and not rate.is_floating_point():
        raise TypeError(f"group {index}: expected lr to be a number or a tensor of floats, got {rate.dtype}")
    number(index, "lr", rate)


def check_initialised(groups: Sequence[Group]) -> None:
    """Raise unless every parameter has its shape by now.

    Raises:
        ValueError: It is one of a lazy module that has seen no input.
    """
    for name, p in named_parameters(groups):
        if is_lazy(p):
            raise ValueError(f"{name} has no shape yet: run the model once first")


def report(value: float | Tensor) -> float:
    """An observed metric as a float; raises as `check_report`."""
    check_report(value)
    return float(value)


def check_report(value: float | Tensor) -> None:
    """Raise unless an observed metric is one real number, which need not be finite.

    Raises:
        TypeError: It is not a number.
        ValueError: It is a tensor of several numbers, or complex.
    """
    if isinstance(value, Tensor):
        if value.numel() != 1 or value.is_complex():
            raise ValueError(f"expected a tensor with one real number, got {value.dtype} of shape {tuple(value.shape)}")
    elif not isinstance(value, Real):
        raise TypeError(f"expected a number, got {type(value).__name__}")


def reported(value: float | Tensor) -> float:
    """An observed metric as a number; a loss that still has its graph is as good as any."""
    return float(value.detach() if isinstance(value, Tensor) else value)


def named_parameters(groups: Sequence[Group]) -> list[Named]:
    """Every parameter with the name that messages use: its own if given, else group and index."""
    named: list[Named] = []
    for index, group in enumerate(groups):
        names = group.get("param_names") or [f"group {index}, parameter {i}" for i in range(len(group["params"]))]
        named += map(Named, names, group["params"])
    return named


def addresses(group: Group) -> list[Any]:
    """The names that mean a group: its own, and what is before each ``/`` in it; the longest first."""
    name = group.get("name")
    if not isinstance(name, str):
        return [name]
    parts = name.split("/")
    return ["/".join(parts[:n]) for n in range(len(parts), 0, -1)]


def named(group: int | str, groups: Sequence[Group], span: Span | None = None) -> list[int]:
    """Indices of the groups that an index or a name means.

    Raises:
        ScheduleError: There is none (E0803).
    """
    members = [
        i for i, entries in enumerate(groups) if not isinstance(group, bool) and group in (i, *addresses(entries))
    ]
    if not members:
        names = [str(entries.get("name", i)) for i, entries in enumerate(groups)]
        hint = f"groups are {', '.join(names)}; a group is named by its key `name`"
        raise ScheduleError("E0803", f"no parameter group is called `{group}`", span, hint)
    return members


def own_copy(group: object) -> Group:
    """A copy of what a user gave for a group, its parameters a list.

    Raises:
        TypeError: It is no dict.
        ValueError: It has no parameters, or lists one twice.
    """
    if not isinstance(group, dict):
        raise TypeError(f"expected a parameter group to be a dict, got {type(group).__name__}")
    if "params" not in group:
        raise ValueError(
            f"expected a parameter group to have the key params, got {', '.join(map(str, group)) or 'none'}"
        )
    copied = dict(group)
    if not isinstance(copied["params"], Tensor | set):  # torch wraps the one and refuses the other
        copied["params"] = list(copied["params"])
        tensors = [entry[1] if isinstance(entry, tuple) else entry for entry in copied["params"]]
        if len(set(map(id, tensors))) != len(tensors):
            raise ValueError("a parameter is listed twice in its group: list every parameter once")
    return copied


def scale_rate(group: Group, rate: Any) -> Group:
    """A group that asks for a share of the optimizer's rate, ``lr_scale``, with that rate.

    Raises:
        ValueError, TypeError: As `number`.
    """
    if "lr_scale" not in group:
        return group
    scale = group["lr_scale"]
    if not isinstance(scale, Real) or isinstance(scale, bool):
        raise TypeError(f"expected lr_scale to be a number, got {scale!r}")
    if not 0.0 <= float(scale) < math.inf:
        raise ValueError(f"expected lr_scale to be a finite number >= 0, got {scale!r}")
    rate = group.get("lr", rate)
    return group | {"lr": rate * float(scale)} if isinstance(rate, Real | Tensor) else group  # to be refused


def settle(group: Group, options: Collection[str]) -> Group:
    """A copy of a group whose options are plain numbers, and whose rate is its own if it is a tensor."""
    settled = dict(group)
    for key in options:
        settled[key] = _plain_pair(settled[key]) if key == "betas" else _plain(settled[key])
    if isinstance(settled["lr"], Tensor):
        settled["lr"] = settled["lr"].detach().clone()  # a shared one would look like a foreign write
    return settled


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value


def _plain_pair(value: Any) -> Any:
    several = isinstance(value, Iterable) and not (isinstance(value, Tensor) and value.dim() == 0)
    return tuple(map(_plain, value)) if several else _plain(value)
