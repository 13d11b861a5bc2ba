"""The update on a device: the native step's table of rows, and launches in place of calls."""

from collections.abc import Iterable, MutableMapping, Sequence
from operator import attrgetter
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from lrdsl.optim.batch import Batch
from lrdsl.optim.device_gradients import DeviceGradients
from lrdsl.optim.device_schedule import DeviceSchedule
from lrdsl.optim.device_tables import Tables
from lrdsl.optim.distributed import Reach, local
from lrdsl.optim.hypers import AMSGRAD, Hypers
from lrdsl.optim.moments import State, whole
from lrdsl.optim.native_step import NOWHERE, STEP_FLOAT64, Copies, NativeStep, is_direct, share_memory
from lrdsl.optim.neighbours import MEASURE, ZERO, Control

_version = attrgetter("_version")
ADAM = 1
"""The kind that may have amsgrad."""
LATER = "call sync() right before the capture"


class DeviceStep(NativeStep):
    """Rows in the memory of a device, where they outlive this object; gradients in a table apart from them.

    Eager steps share one table of gradients, and every captured step has its own: they never disturb each other.

    Args:
        module: The extension.
        kind: Which optimizer.
        batch: The parameters.
        hypers: The numbers of the groups.
        control: What every step is told.
        schedule: What these parameters and groups have on the device.
    """

    remote = True

    def __init__(
        self,
        module: ModuleType,
        kind: int,
        batch: Batch,
        hypers: Hypers,
        control: Control,
        schedule: DeviceSchedule,
    ) -> None:
        super().__init__(module, kind, batch, hypers, control, schedule.rows.table)
        self.device = schedule.accelerator.device
        self._kind, self._schedule = kind, schedule
        self._tables_of = DeviceGradients(module, schedule)
        self._moved = True  # the tables of eager steps may be wrong
        self._hypers_seen = -1
        self._counted: list[Tensor] = []
        self._versions = 0

    @property
    def name(self) -> str:
        """What `doctor` calls it."""
        return self._schedule.accelerator.name

    # --- rows -----------------------------------------------------------------------------------------------------

    def stale(self, state: MutableMapping[Tensor, State]) -> bool:
        """Whether the rows are no longer true: the state was replaced, or somebody wrote a step count."""
        if self._is_miscounted():
            return True
        return self.outdated if self._walk is not None else super().stale(state)

    def _is_miscounted(self) -> bool:
        return bool(sum(map(_version, self._counted)) != self._versions)

    def catch_up(self, indices: Iterable[int], unstarted: set[Tensor]) -> None:
        """Before the rows of these parameters are filled again, read what the device wrote there."""
        rows = self._schedule.rows
        if not any(rows.present[index] for index in indices) or self._schedule.exact:
            return
        if self._schedule.capturing():
            raise RuntimeError(f"parameters, groups or state have changed since the last step: {LATER}")
        self._schedule.wait()
        self._schedule.settle()
        self.start(unstarted)

    def start(self, unstarted: set[Tensor]) -> None:
        """What has started, as far as the host has read."""
        unstarted.difference_update(self._batch.params[index] for index in self._schedule.rows.started())

    def plan(
        self,
        grads: Sequence[Tensor],
        resting: Sequence[int],
        state: MutableMapping[Tensor, State],
        unstarted: set[Tensor],
    ) -> None:
        """Make the rows right, as the native step; they are handed over with the next launch."""
        self._read_counts([*self.missing(), *resting], state)
        super().plan(grads, resting, state, unstarted)
        self._look_back()
        self._schedule.hold(self._held)

    def install(self, indices: Sequence[int], state: MutableMapping[Tensor, State], unstarted: set[Tensor]) -> None:
        """Fill the rows of these parameters, whose state is complete, and hand them over at once."""
        self.catch_up(indices, unstarted)
        self._read_counts(indices, state)
        for index in indices:
            p = self._batch.params[index]
            self._fill(index, local(p), self._rows[index], _local(state.get(p, {})), p not in unstarted)
            self._planned.add(index)
        self._look_back()
        sizes = self._rows["n"]
        self._schedule.partials(int(np.sum(-(-sizes // self._module.NORM_CHUNK))))
        self._schedule.hold([tensor for own in state.values() for tensor in own.values()])
        if self._schedule.rows.waiting:
            self._schedule.rows.upload(self._schedule.exact)

    def _look_back(self) -> None:
        self._moved = True
        self._counted = [step for step in self._counts.values() if not step.is_inference()]
        self._versions = sum(map(_version, self._counted))

    def _read_counts(self, indices: Sequence[int], state: MutableMapping[Tensor, State]) -> None:
        """How many steps the rows begin with: what the device counted, or what somebody put into the state."""
        rows, steps = self._schedule.rows, {i: state.get(self._batch.params[i], {}).get("step") for i in indices}
        self._begin = {
            i: int(self._rows["step"][i]) for i, step in steps.items() if step is None or rows.known(i, step)
        }
        unknown = {i: step for i, step in steps.items() if step is not None and i not in self._begin}
        if not unknown:
            return
        if self._schedule.capturing():
            raise RuntimeError("there is state that no step has seen: call init_state() before the capture")
        values = torch.stack([step.detach().reshape(()).to(torch.float64) for step in unknown.values()]).tolist()
        for index, value in zip(unknown, values, strict=True):
            self._begin[index] = whole(self._batch.names[index], value)

    def _fill(self, index: int, p: Tensor, row: Any, tensors: State, started: bool) -> None:
        stage = self._schedule.stage(index, p if p.numel() and not is_direct(p) else None, self._batch.names[index])
        super()._fill(index, p, row, tensors, started)
        if stage is not None:
            row["p"] = stage.data_ptr()
        self._schedule.rows.fill(index, tensors.get("step"))

    def _count_in(self, index: int, row: Any, step: Tensor) -> None:
        row["step"], row["step_out"] = self._begin[index], step.data_ptr()
        if step.dtype == torch.float64:
            row["flags"] |= STEP_FLOAT64

    # --- steps ----------------------------------------------------------------------------------------------------

    def measure_at_once(self) -> bool:
        """Only find the norm, if no row has to change first; say whether that was launched."""
        if not self._gather(False):
            return False
        self._launch_norm()
        return True

    def run_at_once(self) -> bool | None:
        """Launch a step, if no row has to change first; None if one has to, and nothing was done."""
        zero = bool(self._control.flags & ZERO)
        if not self._gather(zero):
            return None
        if self._launch([]):
            self._walk.written(zero)
        return True

    def _gather(self, zero: bool) -> bool:
        if self._walk is None or self._is_miscounted():
            return False
        found = self._walk.gather(zero, 1)  # threads would wait for each other longer than this takes
        self.outdated = found == self._module.CHANGED
        self._moved = self._moved or self._walk.moved
        return bool(found == self._module.APPLIED)

    def measure(self, grads: Sequence[Tensor]) -> None:
        """Only find the norm."""
        copies = self._stage(grads)
        self._moved = True
        self._launch_norm()
        del copies

    def share_norm(self, reach: Reach) -> None:
        """The norm just measured is that of a part."""
        reach.share(self._schedule.norm)

    def run(self, grads: Sequence[Tensor]) -> bool:
        """Launch a step. Whether it was skipped is not known."""
        zero = bool(self._control.flags & ZERO)
        if zero and share_memory(grads):  # one would be zeroed before the other was seen
            self._control.flags &= ~ZERO
        copies = self._stage(grads)
        self._moved = True
        runs = self._launch(copies.gradients)
        if runs:
            increment_version(self._stepped)
        with torch.no_grad():
            for p, stage in copies.parameters:
                p.copy_(stage)
        if zero:
            self._finish_zeroing(grads)
        return True

    def _stage(self, grads: Sequence[Tensor]) -> Copies:
        """As the native step; but what stands in for a parameter stays, since the device's row knows where it is."""
        self._gradients[self._active] = self._batch.pointers
        copies = Copies([], [])
        for position, index in self._detours:
            p, grad = self._batch.locals[index].detach(), grads[position].detach()
            if p.numel() == 0:
                self._gradients[index] = NOWHERE
                continue
            copies.gradients.append(torch.empty_like(p, dtype=grad.dtype).copy_(grad))
            self._gradients[index] = copies.gradients[-1].data_ptr()
            if index in self._schedule.stages:
                copies.parameters.append((self._batch.locals[index], self._schedule.stages[index].copy_(p)))
        return copies

    # --- launches -------------------------------------------------------------------------------------------------

    def _launch_norm(self) -> None:
        tables, capturing = self._tables()
        self._schedule.measure(tables)
        if capturing:
            self._schedule.keep.append(tables)

    def _launch(self, copies: list[Tensor]) -> bool:
        """Launch a step, and say whether it runs; in a capture it is only recorded."""
        schedule = self._schedule
        if self._hypers_seen != self._hypers.version:
            schedule.flush(self._hypers.table, self._hypers.tensor_rates)
            schedule.update(self._hypers.table, self._hypers.tensor_rates)
            self._hypers_seen = self._hypers.version
        tables, capturing = self._tables()
        plain = schedule.plan.plain and not capturing
        formats = self._tables_of.formats | (self._module.PLAIN if plain else 0)
        if (self._hypers.table["flags"] & AMSGRAD).any() or (capturing and self._kind == ADAM):  # it may come later
            formats |= self._module.AMSGRADS
        schedule.step(self._kind, formats, tables)
        if capturing:
            schedule.keep += [tables, *copies, self._control.inputs]
            schedule.unmeasured |= not (self._control.flags & MEASURE or schedule.plan.listens)
        else:
            schedule.issued()
        return not capturing

    def _tables(self) -> tuple[Tables, bool]:
        """The argument of a launch, and whether it will be recorded."""
        schedule = self._schedule
        if schedule.rows.waiting:
            schedule.rows.upload(schedule.exact)
        capturing = schedule.capturing()
        if capturing:
            tables = self._tables_of.captured(self._gradients)
        elif self._moved:
            self._tables_of.eager(self._gradients)
        self._moved = capturing
        if not capturing:
            tables = schedule.tables
        tables.control = self._control
        return tables, capturing


def _local(state: State) -> State:
    return {key: local(tensor) for key, tensor in state.items()}
