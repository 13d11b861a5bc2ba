"""Parameter groups: taking over what a user gave, reading numbers from them, naming their parameters."""

import math
from collections.abc import Collection, Sequence
from numbers import Real
from typing import Any

from torch import Tensor

from lrdsl.optim.tensors import Named

Group = dict[str, Any]


def number(index: int, name: str, value: Any, below: float = math.inf) -> float:
    """A group's value as a float.

    Raises:
        ValueError: It is negative, not finite, or not below ``below``; a tensor has more than one element.
        TypeError: It is not a number.
    """
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ValueError(f"group {index}: expected {name} to be one number, got a tensor of {value.numel()}")
    if not isinstance(value, Tensor | Real):
        raise TypeError(f"group {index}: expected {name} to be a number, got {value!r}")
    result = float(value)
    if not 0.0 <= result < below:
        wanted = "a finite number >= 0" if below == math.inf else f"at least 0 and below {below:g}"
        raise ValueError(f"group {index}: expected {name} to be {wanted}, got {result!r}")
    return result


def report(value: float | Tensor) -> float:
    """An observed metric as a float, which need not be finite.

    Raises:
        TypeError: It is not a number.
        ValueError: It is a tensor of several numbers, or complex.
    """
    if isinstance(value, Tensor):
        if value.numel() != 1 or value.is_complex():
            raise ValueError(f"expected a tensor with one real number, got {value.dtype} of shape {tuple(value.shape)}")
        return float(value.item())
    if not isinstance(value, Real):
        raise TypeError(f"expected a number, got {type(value).__name__}")
    return float(value)


def named_parameters(groups: Sequence[Group]) -> list[Named]:
    """Every parameter with the name that messages use: its own if given, else group and index."""
    named: list[Named] = []
    for index, group in enumerate(groups):
        names = group.get("param_names") or [f"group {index}, parameter {i}" for i in range(len(group["params"]))]
        named += map(Named, names, group["params"])
    return named


def own_copy(group: object) -> Group:
    """A copy of what a user gave for a group, its parameters a list.

    Raises:
        TypeError: It is no dict.
        ValueError: It lists a parameter twice.
    """
    if not isinstance(group, dict):
        raise TypeError(f"expected a parameter group to be a dict, got {type(group).__name__}")
    copied = dict(group)
    if not isinstance(copied["params"], Tensor | set):  # torch wraps the one and refuses the other
        copied["params"] = list(copied["params"])
        tensors = [entry[1] if isinstance(entry, tuple) else entry for entry in copied["params"]]
        if len(set(map(id, tensors))) != len(tensors):
            raise ValueError("a parameter is listed twice in its group: list every parameter once")
    return copied


def settle(group: Group, options: Collection[str]) -> Group:
    """A copy of a group whose options are plain numbers, and whose rate is its own if it is a tensor."""
    settled = dict(group)
    for key in options:
        settled[key] = tuple(map(_plain, settled[key])) if key == "betas" else _plain(settled[key])
    if isinstance(settled["lr"], Tensor):
        settled["lr"] = settled["lr"].detach().clone()  # a shared one would look like a foreign write
    return settled


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
