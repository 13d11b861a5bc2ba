"""The schedule in the memory of a device: clock, numbers of the groups, what is scheduled, and what the host is told.

Everything lies where it is for as long as the optimizer has these parameters and groups, because captured launches know
the places. It outlives steppers and loads.
"""

import ctypes
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import is_
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrdsl.optim.accelerator import Accelerator
from lrdsl.optim.device_plan import DevicePlan, TensorRate, same_rates
from lrdsl.optim.device_rows import DeviceRows
from lrdsl.optim.device_tables import WORDS, Mirror, Plan, State, Tables, moment
from lrdsl.optim.history import LENGTH
from lrdsl.optim.neighbours import GRAD_NORM, Control, check_captured
from lrdsl.optim.ownership import Cell
from lrdsl.optim.tensors import NUMBERS

ALIGNMENT = 256


@dataclass(frozen=True)
class Start:
    """Where the schedules are to go on: what the device has to be told before its next launch."""

    clock: int
    cells: Sequence[Cell]
    outs: Sequence[Tensor | None]
    applied: Sequence[float]


class DeviceSchedule:
    """What one set of parameters and groups has on its device.

    Args:
        accelerator: The device.
        module: The extension.
        params: The parameters, in order.
        groups: The group of each.
        n_groups: How many.
        control: Norm and skipped steps so far.
        before: What came before it.
        measures: Whether an update reports the norm of its gradients.

    Attributes:
        accelerator: As given.
        rows: One per parameter.
        plan: What is scheduled.
        tables: The argument of launches outside of captures; a step fills in its part.
        control: As given; `settle` writes it.
        ring: The rates of the last updates, as the device writes them.
        former: Of other parameters or groups, for the sake of what was captured with it.
        keep: What captured launches refer to.
        unmeasured: Whether a step was captured that does not measure the norm.
        stages: Row -> what stands in for a parameter that does not lie in memory like its state.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        module: ModuleType,
        params: Sequence[Tensor],
        groups: Sequence[int],
        n_groups: int,
        control: Control,
        before: "DeviceSchedule | None" = None,
        measures: bool = True,
    ) -> None:
        self.former: DeviceSchedule | None = before if before is None or before.keep else before.former
        self.accelerator, self.control = accelerator, control
        self._params, self._groups, self._measures = list(params), list(groups), measures
        sizes = {
            "state": ctypes.sizeof(State),
            "plan": ctypes.sizeof(Plan),
            "hypers": module.HYPER_SIZE * n_groups,
            "rows": module.ROW_SIZE * len(params),
            "biases": module.SIZES["Bias"] * len(params),
        }
        places, end = {}, 0
        for name, size in sizes.items():
            places[name] = end
            end += -(-size // ALIGNMENT) * ALIGNMENT
        # Whatever launches use, for the time after this object: see `Accelerator.leave`.
        self._memory: dict[str, object] = {}
        self._allocated: list[int] = []
        weakref.finalize(self, accelerator.leave, self._memory, self._allocated).atexit = False
        self._arena = self.memory("arena", end)
        base = self._arena.data_ptr()
        self._told = accelerator.shared(ctypes.sizeof(Mirror))
        self._mirror = Mirror.from_address(self._told.data_ptr())
        self._moments = accelerator.shared(moment(n_groups).itemsize * LENGTH)
        self.ring = self._moments.numpy().view(moment(n_groups))
        self.ring["step"] = -1
        self.rows = DeviceRows(accelerator, module, len(params), base + places["rows"])
        self.tables = Tables(
            **{name: base + place for name, place in places.items()},
            mirror=self._told.data_ptr(),
            history=self._moments.data_ptr(),
            n_rows=len(params),
            n_groups=n_groups,
        )
        self._idle = Tables.from_buffer_copy(self.tables)  # no row takes part
        self._idle.n_rows = 0
        norm = places["state"] + State.norm.offset
        self.norm = self._arena[norm : norm + 8].view(torch.float64)[0]
        self._state = base + places["state"]
        self._metrics: dict[str, int] = {}
        self._hypers = np.zeros((n_groups, WORDS), np.int64)  # as uploaded
        self._free = np.ones(n_groups * WORDS, np.bool_)  # what the host alone writes
        # Steps that were launched; writes into the mirror: launched, heard of, and how many it takes to have heard of
        # the last report.
        self._issued = self._writes = self._heard = self._reported = 0
        self._seen, self._before = Mirror(norm=control.norm, skipped=control.skipped), 0
        self._start: Start | None = None
        self._begun = False
        self.plan = DevicePlan(accelerator, (), (), (), self._metrics)
        self.keep: list[object] = []
        self.unmeasured = False
        self.stages: dict[int, Tensor] = {}
        self._held: list[Tensor] = []
        self._partials = self.memory("partials", 0)
        self._memory |= {"mirror": self._told, "history": self._moments, "plan": self.plan}
        self._memory |= {"keep": self.keep, "stages": self.stages}

    def fits(self, params: Sequence[Tensor], groups: Sequence[int], n_groups: int) -> bool:
        """Whether it was made for these."""
        same = len(params) == len(self._params) and all(map(is_, params, self._params))
        return same and list(groups) == self._groups and n_groups == self.tables.n_groups

    @property
    def begun(self) -> bool:
        """Whether the device has been told anything."""
        return self._begun

    def large_counts(self) -> dict[Tensor, int]:
        """After `settle`: the steps of every parameter that has had more than float32 can count."""
        return {self._params[index]: step for index, step in self.rows.beyond_float32()}

    def capturing(self) -> bool:
        """Whether launches are being recorded."""
        return self.accelerator.capturing()

    def refuse(self, what: str) -> None:
        """Raise RuntimeError if a graph is being captured, where nobody can wait for the device."""
        if self.capturing():
            raise RuntimeError(f"{what} waits for the device, which cannot be done while a graph is being captured")

    # --- what the host believes -----------------------------------------------------------------------------------

    def glance(self) -> bool:
        """Look at what the device has told so far, without waiting; say whether the schedules have new slots."""
        slots = self._listen()
        return self._heard >= self._reported and self.plan.adopt(slots)

    def _listen(self) -> bytes:
        """The same, but the schedules stay as they are; gives the slots."""
        mirror = self._mirror
        for _ in range(1000):
            done = mirror.done
            seen, slots = Mirror.from_buffer_copy(mirror), self.plan.slots()
            if mirror.begun == done == seen.done:
                break
        else:
            return self.plan.last
        self._seen, self._heard = seen, done
        self._issued = max(self._issued, seen.steps)
        self._writes = max(self._writes, done)
        return slots

    @property
    def clock(self) -> int:
        """Where the clock will be once all steps have run that were launched, if none of them is skipped."""
        if self._start is not None:
            return self._start.clock
        return self._seen.clock + self._issued - self._seen.steps

    def wait(self) -> bool:
        """Wait for the device; then the clock is exact. Say whether the schedules have new slots."""
        if not self._begun:
            return False
        self.accelerator.wait()
        self._reported = 0
        news = self.glance()
        self._issued = self._seen.steps
        self.control.skipped, self.control.norm = self._seen.skipped, self._seen.norm
        return news

    def settle(self) -> tuple[list[float], list[int]]:
        """After `wait`: the last value applied and the first fault of every cell; the rows are read as well."""
        self.rows.pull()
        self.rows.steps = self._seen.steps
        hypers = np.empty_like(self._hypers)
        self.accelerator.download(hypers, self.tables.hypers)
        numbers = hypers.view(np.float64)
        where = self.plan.governed()[len(self.plan.rates) :]
        return [float(numbers[at]) for at in where], self.plan.faults() if self._seen.faults else [-1] * len(where)

    @property
    def exact(self) -> bool:
        """Whether no step has run since `settle`; waits if there may be replays, which the host does not count.

        During a capture nobody can wait: then as far as the host has heard.
        """
        if self.keep and not self.capturing():
            self.accelerator.wait()
        self._listen()
        return self._issued == self.rows.steps

    @property
    def applied(self) -> int:
        """Updates since `flush`, as far as the host has heard."""
        return int(self._seen.steps - self._seen.skipped - self._before)

    # --- what the device is told ----------------------------------------------------------------------------------

    def begin(self, start: Start) -> None:
        """Before the next launch, go on from here. Everything before it has been waited for."""
        self._start = start

    def flush(self, hypers: Any, rates: Sequence[TensorRate]) -> None:
        """Do what `begin` asked for: hand over clock, plan, slots and the numbers of all groups; outs are written.

        Args:
            hypers: The numbers of the groups.
            rates: Those that the device reads by itself.
        """
        start = self._start
        if start is None:
            return
        self.refuse("handing over a schedule")
        self.replan(start.cells, start.outs, rates)
        table = hypers.copy()
        for cell, value in zip(start.cells, start.applied, strict=True):
            table[cell.target][cell.index] = value
        self._hypers = table.view(np.int64).reshape(self._hypers.shape)
        self.accelerator.upload(self.tables.hypers, self._hypers)
        counts = np.array([start.clock, self.control.skipped], np.int64)
        self.accelerator.upload(self._state + State.clock.offset, counts)
        self.accelerator.upload(self._state + State.norm.offset, ctypes.c_double(self.control.norm))
        self._begun, self._start = True, None
        self.publish()
        self.wait()
        self._before = self._seen.steps - self._seen.skipped

    def replan(self, cells: Sequence[Cell], outs: Sequence[Tensor | None], rates: Sequence[TensorRate]) -> None:
        """From now on these are scheduled, with the slots that their tracks have. Nothing is under way."""
        self.accelerator.wait()
        self.plan = DevicePlan(self.accelerator, cells, outs, rates, self._metrics, self._measures)
        self.accelerator.upload(self.tables.plan, self.plan.record)
        self.accelerator.wait()
        self._memory["plan"] = self.plan  # the former one was read until here
        self._free[:] = True
        for group, field in self.plan.governed():
            self._free[group * WORDS + field] = False

    def set_clock(self, clock: int) -> None:
        """Go on at this update; after `wait`."""
        self.accelerator.upload(self._state + State.clock.offset, ctypes.c_int64(clock))
        self.publish()
        self.wait()

    def update(self, hypers: Any, rates: Sequence[TensorRate]) -> None:
        """Hand over what the host has changed in the groups: runs of numbers, which no scheduled one interrupts."""
        if not same_rates(rates, self.plan.rates):
            self.refuse("another rate tensor")
            self.wait()
            for cell, fault in zip(self.plan.cells, self.plan.faults(), strict=True):
                if fault >= 0:
                    cell.binding.faults[cell.target] = fault
            self.replan(self.plan.cells, self.plan.outs, rates)
        now, then = hypers.view(np.int64).ravel(), self._hypers.ravel()
        changed = np.flatnonzero((now != then) & self._free)
        if not len(changed):
            return
        run = np.cumsum(~self._free)[changed]
        for first in np.flatnonzero(np.r_[True, run[1:] != run[:-1]]).tolist():
            members = changed[run == run[first]]
            begin, end = int(members[0]), int(members[-1]) + 1
            self.accelerator.upload(self.tables.hypers + 8 * begin, now[begin:end])
            then[begin:end] = now[begin:end]

    # --- memory ---------------------------------------------------------------------------------------------------

    def hold(self, tensors: list[Tensor]) -> None:
        """Keep what the rows refer to, and what they referred to when a step was captured."""
        if self.keep:
            now = set(map(id, tensors))
            self.keep += [tensor for tensor in self._held if id(tensor) not in now]
        self._held = tensors

    def stage(self, index: int, p: Tensor | None, name: str) -> Tensor | None:
        """What stands in for a parameter from now on; it stays where it is for as long as it fits.

        Args:
            index: Its row.
            p: The parameter; None if it needs none.
            name: What messages call it.

        Raises:
            RuntimeError: Another one is needed than a graph was captured with.
        """
        former = self.stages.get(index)
        if p is not None and former is not None and _form(former) == _form(torch.empty_like(p, device="meta")):
            return former
        if former is not None and self.keep:
            raise RuntimeError(
                f"{name} is laid out otherwise than when a graph was captured: "
                "let another optimizer load this one's state dict, and capture anew"
            )
        self.stages.pop(index, None)
        if p is not None:
            self.stages[index] = torch.empty_like(p)
        return self.stages.get(index)

    def check_listening(self, metrics: Iterable[str]) -> None:
        """Raise RuntimeError if captured steps could not report what a new schedule listens to."""
        if self.unmeasured and GRAD_NORM in metrics:
            raise RuntimeError(
                "a step was captured that does not measure the norm of the gradients, which this schedule listens to: "
                "make the optimizer with a schedule that listens, or with max_grad_norm, and capture again"
            )

    def partials(self, count: int) -> int:
        """A place for so many sums of squares, which moves only to grow."""
        if self._partials.nbytes < 8 * count:
            if self.capturing():
                raise RuntimeError("the norm needs more memory than before: make a step or call init_state() first")
            if self.keep:
                self.keep.append(self._partials)
            self._partials = self.memory("partials", 8 * count)
            self.tables.partials = self._partials.data_ptr()
        return self._partials.data_ptr()

    def memory(self, name: str, size: int) -> Tensor:
        """Zeros on the device, until others are made under the same name; not during a capture."""
        made = self.accelerator.zeros(size)
        self._memory[name] = made  # the device rests: nothing uses the former ones
        return made

    def allocate(self, size: int) -> int:
        """Memory for as long as this object lives, also during a capture."""
        place: int = self.accelerator.handle.allocate(size)
        self._allocated.append(place)
        return place

    # --- launches -------------------------------------------------------------------------------------------------

    def step(self, kind: int, formats: int, tables: Tables) -> None:
        """Launch a step; unless it is only recorded, the clock is taken to advance."""
        self.accelerator.handle.step(kind, formats, ctypes.addressof(tables), self.accelerator.stream())

    def issued(self) -> None:
        """A step was launched, and runs."""
        self._issued += 1
        self._writes += 1

    def measure(self, tables: Tables) -> None:
        """Only the norm, into `norm`."""
        self.accelerator.handle.measure(ctypes.addressof(tables), self.accelerator.stream())

    def check_report(self, metric: str, value: object) -> None:
        """Raise RuntimeError if a graph is being captured that could not read a value anew."""
        if self.capturing():
            check_captured(f"what is observed as {metric}", value, self.accelerator.device)

    def report(self, metric: str, value: float | Tensor) -> None:
        """Let every target that listens hear of a number, or of what is in a tensor then."""
        launch, number, idle = self.accelerator.handle, self._metrics[metric], ctypes.addressof(self._idle)
        stream = self.accelerator.stream()
        if not isinstance(value, Tensor):
            launch.report_number(idle, number, value, stream)
            self.plan.forget()
        else:
            value = value.detach().resolve_neg()
            direct = value.device == self.accelerator.device and value.dtype in NUMBERS
            value = value if direct else value.to(self.accelerator.device, torch.float64)
            launch.report(idle, number, value.data_ptr(), NUMBERS[value.dtype], stream)
            if self.capturing():
                self.keep.append(value)
        if not self.capturing():
            self._writes += 1
            self._reported = self._writes

    def publish(self, advance: bool = False) -> None:
        """Let the device write the values of its clock, or of the next one, into the tensors that show them."""
        self.accelerator.handle.publish(ctypes.addressof(self._idle), advance, self.accelerator.stream())
        if not self.capturing():
            self._writes += 1
            self._issued += advance


def _form(stage: Tensor) -> object:
    return stage.shape, stage.stride(), stage.dtype
