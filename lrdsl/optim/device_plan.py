"""What is scheduled, as a device reads it: one block of targets, listeners, tensor rates, live slots and programs."""

import ctypes
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from lrdsl.optim.accelerator import Accelerator
from lrdsl.optim.device_tables import FIELDS, NOTHING, Listener, Plan, Rate, Target
from lrdsl.optim.neighbours import GRAD_NORM
from lrdsl.optim.ownership import Cell
from lrdsl.optim.tensors import NUMBERS

TensorRate = tuple[int, Tensor]
"""A group's index and its rate, which nobody schedules."""


class DevicePlan:
    """The block, in the memory of one device; another plan is another block.

    Args:
        accelerator: The device.
        cells: What is scheduled.
        outs: The tensor of each cell that the device writes beside; or None.
        rates: What it reads.
        metrics: The optimizer's number of every metric there ever was; new ones are added.
        measures: Whether an update reports the norm of its gradients.

    Attributes:
        cells, outs, rates: As given.
        record: What `State` and the launches refer to.
        listens: Whether anything is to hear the norm from every update.
        last: The slots that the schedules have.
        plain: Whether a step has nothing to do but the update.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        cells: Sequence[Cell],
        outs: Sequence[Tensor | None],
        rates: Sequence[TensorRate],
        metrics: dict[str, int],
        measures: bool = True,
    ) -> None:
        self.cells, self.outs, self.rates = list(cells), list(outs), list(rates)
        self._accelerator = accelerator
        programs = [cell.track.program for cell in cells]
        heard = [
            (i, metric, local) for i, program in enumerate(programs) for local, metric in enumerate(program.metrics)
        ]
        for _, metric, _ in heard:
            metrics.setdefault(metric, len(metrics))
        self._ends = np.cumsum([0, *(len(cell.track.state) for cell in cells)]).tolist()

        # Sections in turn; a Program that many groups have is there once.
        codes = [program.pack() for program in programs]
        packed = dict.fromkeys(codes, 0)
        sizes = [ctypes.sizeof(Target) * len(cells), ctypes.sizeof(Listener) * len(heard)]
        sizes += [ctypes.sizeof(Rate) * len(rates), 8 * self._ends[-1], *map(len, packed)]
        begins = np.cumsum([0, *sizes]).tolist()
        self._memory = accelerator.zeros(begins[-1])
        base = self._memory.data_ptr()
        for code, begin in zip(packed, begins[4:], strict=False):
            packed[code] = base + begin
        self._told = accelerator.shared(8 * self._ends[-1])
        self._slots_out = np.frombuffer(self._told.numpy(), np.float64, self._ends[-1])
        self._targets_place = base
        self._targets = (Target * len(cells))(
            *(
                Target(
                    program=packed[code],
                    slots=base + begins[3] + 8 * begin,
                    out=0 if out is None else out.data_ptr(),
                    out_dtype=0 if out is None else NUMBERS[out.dtype],
                    origin=cell.binding.origin,
                    fault=cell.binding.faults.get(cell.target, NOTHING),
                    group=cell.index,
                    field=FIELDS[cell.target],
                )
                for cell, code, begin, out in zip(cells, codes, self._ends, outs, strict=False)
            )
        )
        listeners = (Listener * len(heard))(*(Listener(i, metrics[metric], local) for i, metric, local in heard))
        tensors = (Rate * len(rates))(*(Rate(t.data_ptr(), NUMBERS[t.dtype], index) for index, t in rates))
        slots = np.array([number for cell in cells for number in cell.track.state], np.float64)
        block = b"".join((bytes(self._targets), bytes(listeners), bytes(tensors), slots.tobytes(), *packed))
        if block:
            accelerator.upload(base, block)
        self._slots_out[:] = slots
        self.last = slots.tobytes()
        self.listens = measures and any(metric == GRAD_NORM for _, metric, _ in heard)
        self.plain = not (self.listens or rates or any(out is not None for out in outs))
        self.record = Plan(
            *(base + begin for begin in begins[:4]),
            self._told.data_ptr(),
            len(cells),
            len(heard),
            len(rates),
            self._ends[-1],
            metrics[GRAD_NORM] if self.listens else NOTHING,
        )

    def slots(self) -> bytes:
        """The slots as the device last showed them."""
        return self._slots_out.tobytes()

    def adopt(self, slots: bytes) -> bool:
        """Give the schedules their slots; say whether they are new."""
        if slots == self.last:
            return False
        self.last = slots
        numbers = np.frombuffer(slots, np.float64)
        for cell, begin, end in zip(self.cells, self._ends, self._ends[1:], strict=False):
            for k in range(end - begin):
                cell.track.state[k] = numbers[begin + k]
        return True

    def forget(self) -> None:
        """The schedules have been changed on the host as well: take whatever the device shows next."""
        self.last = b""

    def faults(self) -> list[int]:
        """The first update of every target that had no usable value."""
        if self.cells:
            self._accelerator.download(self._targets, self._targets_place)
        return [target.fault for target in self._targets]

    def governed(self) -> list[tuple[int, int]]:
        """(group, number) of everything that the device writes itself."""
        rates = [(index, FIELDS["lr"]) for index, _ in self.rates]
        return rates + [(target.group, target.field) for target in self._targets]


def same_rates(one: Sequence[TensorRate], other: Sequence[TensorRate]) -> bool:
    """Whether the same tensors, in the same memory, hold the rates."""
    places = [[(index, tensor.data_ptr(), tensor.dtype) for index, tensor in rates] for rates in (one, other)]
    return places[0] == places[1]
