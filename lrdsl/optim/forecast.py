"""What the host knows of a device that steps by itself is a forecast; here it is made, corrected and made exact."""

from collections.abc import Sequence
from contextlib import suppress

import torch
from torch import Tensor

from lrdsl.optim.device_schedule import DeviceSchedule, Start
from lrdsl.optim.neighbours import GRAD_NORM
from lrdsl.optim.ownership import Binding, Owner, Publication
from lrdsl.optim.stepper import Elsewhere, Stepper


class Forecaster(torch.optim.Optimizer):
    """The part of an optimizer that talks to a device; where the host steps it does nothing."""

    _device: DeviceSchedule | None = None
    _clock: int
    _listening: list[Binding]
    _published: Publication
    _stepper: Stepper

    def _check_owner(self) -> bool:
        raise NotImplementedError

    def sync(self) -> None:
        """Wait for the device that steps; then everything is exact: clock, counts, faults, and what the groups show.

        What was changed in the groups by hand reaches captured steps with this call. Without a device it does nothing.

        Raises:
            RuntimeError: A graph is being captured; somebody else wrote a value that the schedule governs.
            ValueError, TypeError: An option of a group cannot be used.
        """
        if self._device is not None:
            self._settle("sync()")
            if not self._check_owner():
                with suppress(Elsewhere):  # the next step sees to that
                    self._stepper.refresh()

    def _start(self, device: DeviceSchedule, fresh: bool = False) -> None:
        """Tell the device where to go on. What cannot be used is refused by the next step."""
        published = self._published
        device.begin(Start(self._clock, published.cells, published.outs, published.applied))
        with suppress(ValueError, TypeError, Elsewhere):
            self._stepper.install(fresh)

    def _restart(self) -> None:
        """Tell the device to go on where the host says."""
        if self._device is not None:
            self._start(self._device)

    def _believe(self, device: DeviceSchedule) -> None:
        """Take over what the device has told so far."""
        news = device.glance()
        if news or device.clock != self._clock:
            self._clock = device.clock
            self._published.publish(self._clock)

    def _advance(self, device: DeviceSchedule) -> None:
        """A step was launched."""
        before, news = self._clock, device.glance()
        self._clock = device.clock
        if self._clock > before:
            self._published.advance(before)
        if news or self._clock != before:
            self._published.publish(self._clock)

    def _look(self) -> None:
        """Make the forecast exact, without writing into the groups."""
        self._refuse_in_capture("a value that somebody else may have written")
        if self._device is not None:
            self._device.wait()
            self._clock = self._device.clock
            self._published.forecast(self._clock)

    def _wait(self, what: str = "this") -> None:
        """Make clock, slots, norm and skipped steps exact."""
        device = self._device
        if device is None:
            return
        device.refuse(what)
        device.wait()
        self._clock = device.clock
        # Always, because somebody may have waited before; what is not ours the next step looks at.
        if self._published.owner(self.param_groups) is not Owner.FOREIGN:
            self._published.publish(self._clock)

    def _settle(self, what: str = "this") -> None:
        """Make everything exact that the host keeps."""
        device = self._device
        if device is None or not device.begun:
            return
        self._wait(what)
        self._published.learn(*device.settle())
        self._stepper.catch_up()
        for binding in self._listening if device.applied > 0 else ():
            binding.schedule.reported(GRAD_NORM, max(self._clock - 1 - binding.origin, 0))

    def _refuse_in_capture(self, what: str) -> None:
        if self._device is not None:
            self._device.refuse(what)

    def _report(self, device: DeviceSchedule, value: float | Tensor, metric: str, listening: Sequence[Binding]) -> None:
        """Let the device hear of a metric, and the host's forecast as far as it can."""
        device.check_report(metric, value)
        capturing = device.capturing()
        if not capturing:
            self._believe(device)
        device.report(metric, value if isinstance(value, Tensor) else float(value))
        if capturing:
            return
        for binding in listening:
            step = self._clock - binding.origin
            if isinstance(value, Tensor):
                binding.schedule.reported(metric, step)
            else:
                binding.schedule.observe(float(value), metric, step=step)
        device.glance()
        self._published.publish(self._clock)
