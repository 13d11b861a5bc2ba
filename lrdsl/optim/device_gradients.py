"""Where the gradients of a step are, and how its blocks share them: for eager steps, and for every captured one."""

from types import ModuleType
from typing import Any

import numpy as np
import torch

from lrdsl.optim.device_schedule import DeviceSchedule
from lrdsl.optim.device_tables import Chunk, Gradient, Tables
from lrdsl.optim.native_step import GRAD_FLOAT32
from lrdsl.optim.tensors import NUMBERS


class DeviceGradients:
    """Makes the tables true, and hands over only what has changed.

    Args:
        module: The extension.
        schedule: What else there is on the device.

    Attributes:
        formats: What the gradients and their rows are made of, for the choice of a kernel.
    """

    def __init__(self, module: ModuleType, schedule: DeviceSchedule) -> None:
        self.formats = 0
        self._module, self._schedule = module, schedule
        self._sent = np.zeros(len(schedule.rows.table), np.dtype(Gradient))
        self._memory = schedule.memory("gradients", self._sent.nbytes)
        self._chunks = schedule.memory("chunks", 0)
        self._shape: object = None

    def eager(self, places: Any) -> None:
        """Put gradients at these places into the schedule's own tables."""
        schedule, table = self._schedule, self._table(places)
        tables, upload = schedule.tables, schedule.accelerator.upload
        shape = (np.minimum(table["place"], 2).tobytes(), self._kinds().tobytes(), schedule.rows.table["n"].tobytes())
        if shape != self._shape:
            chunks = self._share_out(table, tables)
            if self._chunks.nbytes < chunks.nbytes:
                self._chunks = schedule.memory("chunks", chunks.nbytes)
            if chunks.nbytes:
                upload(self._chunks.data_ptr(), chunks)
            self._shape = shape
        if table.tobytes() != self._sent.tobytes():
            upload(self._memory.data_ptr(), table)
            self._sent = table
        tables.gradients, tables.chunks = self._memory.data_ptr(), self._chunks.data_ptr()

    def captured(self, places: Any) -> Tables:
        """Tables of their own for one recorded step."""
        schedule, table = self._schedule, self._table(places)
        tables = Tables.from_buffer_copy(schedule.tables)
        chunks = self._share_out(table, tables)
        tables.gradients, tables.chunks = (schedule.allocate(max(made.nbytes, 8)) for made in (table, chunks))
        for place, made in ((tables.gradients, table), (tables.chunks, chunks)):
            if made.nbytes:
                schedule.accelerator.upload(place, made)
        self._shape = None  # the formats are those of this step
        return tables

    def _table(self, places: Any) -> Any:
        rows = self._schedule.rows.table
        table = np.zeros_like(self._sent)
        table["place"] = places
        table["dtype"] = np.where(rows["flags"] & GRAD_FLOAT32, NUMBERS[torch.float32], rows["dtype"])
        return table

    def _kinds(self) -> Any:
        """What each row is made of: its dtype, whether it has a master, whether its gradient is wider."""
        rows = self._schedule.rows.table
        return np.stack([rows["dtype"], rows["master"] != 0, rows["flags"] & GRAD_FLOAT32])

    def _share_out(self, table: Any, tables: Tables) -> Any:
        """The chunks of these gradients; their number and length go into the argument of the launch."""
        schedule, rows = self._schedule, self._schedule.rows.table
        given = _address(rows), _address(table), len(rows), schedule.accelerator.handle.wanted_chunks
        count, length, partials = self._module.chunk_table(*given, 0, 0)
        chunks = np.zeros(count, np.dtype(Chunk))
        if count:
            self._module.chunk_table(*given, _address(chunks), count)
        tables.n_chunks, tables.length, tables.n_partials = count, length, partials
        tables.partials = schedule.partials(partials)
        active = table["place"] != 0
        kinds = np.unique(self._kinds()[:, active], axis=1)
        self.formats = 0
        for dtype, master, wide in kinds.T.tolist():
            self.formats |= self._module.format_of(dtype, bool(master), bool(wide))
        return chunks


def _address(table: Any) -> int:
    return int(table.__array_interface__["data"][0])
