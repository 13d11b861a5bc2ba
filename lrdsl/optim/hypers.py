"""The numbers of every parameter group as one table, in the layout the native step reads."""

import math
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import torch
from torch import Tensor

from lrdsl.optim.groups import Group, number
from lrdsl.optim.ownership import Publication
from lrdsl.optim.tensors import NUMBERS

MAXIMIZE, AMSGRAD, NESTEROV, DECOUPLED = 1, 2, 4, 8


class Hyper(NamedTuple):
    """The numbers of one group: a row of the table, field by field the ``Hyper`` of ``csrc/tables.h``."""

    lr: float = 0.0
    weight_decay: float = 0.0
    beta1: float = 0.0
    beta2: float = 0.0
    eps: float = 0.0
    momentum: float = 0.0
    dampening: float = 0.0
    flags: int = 0


DTYPE = np.dtype([(field, np.int64 if field == "flags" else np.float64) for field in Hyper._fields])


class Hypers:
    """Keeps the table up to date; a group is read again only if one of its values was replaced.

    Args:
        param_groups: The optimizer's groups.
        options: What ``read_group`` looks at. Not the rate, which changes at every step.
        read_group: Checks a group, given with its index, and gives its row, without the rate.
        published: What is scheduled: exact where a group has its rate rounded in a tensor.
        device: Which reads rates in its tensors by itself; None: none does.

    Attributes:
        table: One row per group.
        structure: What decides which state the parameters need; only good for comparing.
        version: Moves whenever the table, but for what is scheduled, or the tensors have changed.
        tensor_rates: The group's index and the tensor of every rate that the device reads; 0 in the table.
        lasting: Which groups have to have momentum buffers even if momentum is 0 now: where a device knows the values
            of a schedule, the host only believes them.
    """

    def __init__(
        self,
        param_groups: list[Group],
        options: Sequence[str],
        read_group: Callable[[int, Group], Hyper],
        published: Publication,
        device: torch.device | None = None,
    ) -> None:
        self.table = np.zeros(len(param_groups), DTYPE)
        self.structure = b""
        self._groups = param_groups
        self._keys = tuple(options)
        self._read_options = itemgetter(*options)
        self._read_group = read_group
        self._published = published
        self._scheduled = [(i, cell.index) for i, cell in enumerate(published.cells) if cell.target == "lr"]
        self._options: list[Any] = []
        self._rates: list[float] = []
        self.version = 0
        self.tensor_rates: list[tuple[int, Tensor]] = []
        self._told: object = []
        self._device = device
        self.lasting = np.zeros(len(param_groups), np.bool_)
        if device is not None:
            self.lasting[[cell.index for cell in published.cells if cell.target == "momentum"]] = True

    @property
    def keys(self) -> tuple[str, ...]:
        """What a step reads of every group."""
        return (*self._keys, "lr")

    def address(self, index: int, target: str) -> int:
        """Where the native step reads a group's value."""
        column = self.table[target]
        return int(column.__array_interface__["data"][0]) + index * column.strides[0]

    def read(self) -> None:
        """Look at the groups again.

        Raises:
            ValueError, TypeError: A value is out of range, or of another type.
        """
        if self._published.is_native:  # it writes into the table
            self._options, self._rates = [], []
        options = [tuple(map(_frozen, self._read_options(group))) for group in self._groups]
        known = options == self._options
        rows = [] if known else list(map(self._read_group, range(len(self._groups)), self._groups))
        tensors: list[tuple[int, Tensor]] = []
        if self._device is None:
            rates = [float(group["lr"]) for group in self._groups]
        else:
            rates, tensors = self._look_at_rates(self._device)
        for i, index in self._scheduled:
            rates[index] = self._published.values[i]
        if rates != self._rates and not all(0.0 <= rate < math.inf for rate in rates):
            rates = [number(index, "lr", rate) for index, rate in enumerate(rates)]
        # Nothing is written before everything has been read.
        if not known:
            self.table[:] = rows
            lasting = (self.table["momentum"] != 0.0) | self.lasting
            self.structure = self.table["flags"].tobytes() + lasting.tobytes()
            self._options, self._rates = options, []
            self.version += 1
        if rates != self._rates:
            self.table["lr"] = self._rates = rates
            self.version += 1
        if self._device is not None:
            told = [(index, tensor.data_ptr(), tensor.dtype) for index, tensor in tensors]
            self.version += told != self._told
            self.tensor_rates, self._told = tensors, told
        self._published.watch()

    def _look_at_rates(self, device: torch.device) -> tuple[list[float], list[tuple[int, Tensor]]]:
        """The rates as far as the host knows them, and the tensors of the others; no tensor of the device is read."""
        scheduled = {index for _, index in self._scheduled}
        rates, tensors = [], []
        for index, group in enumerate(self._groups):
            rate = group["lr"]
            if index in scheduled or not lives_on(rate, device):
                rates.append(0.0 if index in scheduled else float(rate))
                continue
            number_of_elements = rate.numel()
            if number_of_elements != 1:
                raise ValueError(f"group {index}: expected lr to be one number, got a tensor of {number_of_elements}")
            rates.append(0.0)
            tensors.append((index, rate))
        return rates, tensors


def lives_on(rate: object, device: torch.device) -> TypeGuard[Tensor]:
    """Whether a rate is a tensor that a device can read, or write, where it is."""
    return isinstance(rate, Tensor) and rate.device == device and rate.dtype in NUMBERS and not rate.is_neg()


def _frozen(entry: Any) -> Any:
    """An entry as it is now, if it can change in place."""
    if isinstance(entry, Tensor):
        return entry.tolist()
    return tuple(map(_frozen, entry)) if isinstance(entry, tuple | list) else entry
