"""A schedule beside any optimizer, evaluated on the device of its rates: one launch per step, which a graph repeats."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrdsl import cuda, evaluators
from lrdsl.evaluators import native
from lrdsl.optim import accelerator
from lrdsl.optim.accelerator import Accelerator
from lrdsl.optim.device_schedule import DeviceSchedule, Start
from lrdsl.optim.hypers import DTYPE
from lrdsl.optim.neighbours import Control, Neighbours
from lrdsl.optim.ownership import Binding
from lrdsl.optim.writer import HostWriter, Rate


def accelerator_of(device: torch.device) -> Accelerator | None:
    """What runs schedules on a device; None where the host has to."""
    if evaluators.python_only() or native.extension() is None or device.type != "cuda" or cuda.reason(device.index):
        return None
    return accelerator.of(device.index)


class DeviceWriter:
    """As `HostWriter`, for rates that are tensors of one device; the host follows with a forecast.

    Args:
        accelerator: The device.
        optimizer: Whose groups.
        bindings: The schedule of each.
        bases: What each was made with, by target.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        optimizer: torch.optim.Optimizer,
        bindings: Sequence[Binding],
        bases: Sequence[Mapping[str, float]],
    ) -> None:
        module = native.extension()
        assert module is not None
        self._optimizer, self._bases = optimizer, bases
        self._host = HostWriter(optimizer, bindings, bases)
        count = len(optimizer.param_groups)
        # The optimizer beside it knows no norm: only what is observed is one.
        control = Control(Neighbours())
        self._schedule = DeviceSchedule(accelerator, module, (), (), count, control, measures=False)
        self._outs: list[Any] = []
        self._handed = False  # the device has been told of these schedules

    def succeed(self, bindings: Sequence[Binding]) -> "DeviceWriter":
        """Go on with other schedules, at the same addresses."""
        self._host = self._host.succeed(bindings)
        self._handed = False
        return self

    def advance(self, clock: int) -> tuple[int, list[Rate]]:
        """As `Writer.advance`; during a capture the launch is only recorded, and nothing advances."""
        if not self._serves():
            clock = self._where(clock) + 1
            return clock, self.publish(clock)
        self._schedule.publish(advance=True)
        return self.forecast(clock)

    def forecast(self, clock: int) -> tuple[int, list[Rate]]:
        """As `Writer.forecast`: with what the device has told so far."""
        if self._handed and not self._schedule.capturing():
            self._schedule.glance()
            clock = self._schedule.clock
        return clock, self.rates(clock)

    def wait(self, clock: int) -> tuple[int, list[Rate]]:
        """As `Writer.wait`; what the groups show is handed over if it has not been."""
        self._schedule.refuse("sync()")
        clock = self._where(clock)
        if not self._serves() and (self._handed or self._host.is_in_force(clock)):
            self.publish(clock)
        return self.forecast(clock)

    def _where(self, clock: int) -> int:
        """Where the device stands, if it was told of these schedules."""
        if not self._handed:
            return clock
        self._schedule.refuse("another rate tensor")
        self._schedule.wait()
        self._remember(self._schedule.clock)
        return self._schedule.clock

    def _remember(self, clock: int) -> None:
        """After a wait: what was written last, and faults, for who saves them."""
        for cell, applied, fault in zip(self._host.cells, *self._schedule.settle(), strict=True):
            value, faults = cell.track.value(clock), cell.binding.faults
            usable = 0.0 <= value < cell.limit
            cell.binding.applied[cell.target] = value if usable else applied
            if fault >= 0 or not usable:  # the device notes one when it goes on from there
                faults.setdefault(cell.target, fault if fault >= 0 else clock)

    def publish(self, clock: int) -> list[Rate]:
        """As `Writer.publish`."""
        schedule = self._schedule
        if not self._serves():
            self._outs = [group["lr"] for group in self._optimizer.param_groups]
            schedule.wait()
            outs = [self._outs[cell.index] for cell in self._host.cells]
            applied = [cell.binding.applied[cell.target] for cell in self._host.cells]
            schedule.begin(Start(max(clock, 0), self._host.cells, outs, applied))
            schedule.flush(self._numbers(), ())
            self._handed = True
        elif clock != schedule.clock:
            schedule.refuse("going to another step")
            schedule.wait()
            schedule.set_clock(clock)
        return self.rates(clock)

    def rates(self, clock: int) -> list[Rate]:
        """As `Writer.rates`: what the host finds with what it knows."""
        return self._host.rates(clock)

    def check(self, value: float | Tensor, metric: str) -> None:
        """As `Writer.check`."""
        self._host.check(value, metric)
        self._schedule.check_report(metric, value)

    def observe(self, value: float | Tensor, metric: str, clock: int) -> list[Rate]:
        """As `Writer.observe`; a tensor is read on the device, and nobody waits for it."""
        self.check(value, metric)
        if not self._serves():
            clock = self._where(clock)
            self.publish(clock)
        if not isinstance(value, Tensor):
            self._host.take(value, metric, clock)
            value = float(value)
        elif not self._schedule.capturing():
            self._host.heard(metric, clock)
        self._schedule.report(metric, value)
        return self.forecast(clock)[1]

    def is_in_force(self, clock: int) -> bool:
        """As `Writer.is_in_force`."""
        return self._host.is_in_force(clock)

    def check_owner(self, clock: int) -> None:
        """As `Writer.check_owner`; what the device wrote is not read, so nobody is refused."""

    def _serves(self) -> bool:
        """Whether the device writes where the groups have their rates now: torch replaces these when it loads."""
        groups = self._optimizer.param_groups
        return (
            self._handed
            and len(groups) == len(self._outs)
            and all(g["lr"] is out for g, out in zip(groups, self._outs, strict=True))
        )

    def _numbers(self) -> Any:
        """The rates, for the history; the first launch puts in those that are scheduled."""
        table = np.zeros(len(self._bases), DTYPE)
        table["lr"] = [bases["lr"] for bases in self._bases]
        return table
