"""One device: its object in the extension, and torch's memory and stream there."""

import os
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrdsl import cuda

VARIABLE = "LRDSL_CUDA_VARIANT"
VARIANTS = ("advance", "early", "ticket")


class Accelerator:
    """What steps tensors of one device.

    Args:
        handle: The extension's object.
        device: Torch's name of the same.
        name: What `doctor` calls it.
    """

    def __init__(self, handle: Any, device: torch.device, name: str) -> None:
        self.handle, self.device, self.name = handle, device, name
        self._left: list[tuple[object, Sequence[int]]] = []
        variant = os.environ.get(VARIABLE, "") or VARIANTS[0]
        if variant not in VARIANTS:
            raise ValueError(f"expected {VARIABLE} to be one of {', '.join(VARIANTS)}, got {variant!r}")
        handle.variant = variant
        handle.preload()

    def stream(self) -> int:
        """Torch's current stream."""
        if self.device.type != "cuda":
            return 0
        return int(torch._C._cuda_getCurrentRawStream(self.device.index))

    def capturing(self) -> bool:
        """Whether launches are being recorded instead of run."""
        return bool(self.handle.capturing(self.stream()))

    def zeros(self, size: int) -> Tensor:
        """Memory of the device, for any stream; torch's own would be for the current one."""
        made = torch.zeros(max(size, 8), dtype=torch.uint8, device=self.device)
        self.wait()
        return made

    def shared(self, size: int) -> Tensor:
        """Memory of the host that the device writes to."""
        return torch.zeros(max(size, 8), dtype=torch.uint8, device="cpu", pin_memory=self.device.type == "cuda")

    def upload(self, to: int, source: Any) -> None:
        """Copy an array or a record; it may change at once."""
        array = np.frombuffer(source, np.uint8)
        self.handle.upload(to, array.__array_interface__["data"][0], array.nbytes, self.stream())

    def download(self, into: Any, source: int) -> None:
        """Wait for all that was launched, and copy into an array."""
        array = np.frombuffer(into, np.uint8)
        if array.nbytes:
            self.handle.download(array.__array_interface__["data"][0], source, array.nbytes, self.stream())

    def wait(self) -> None:
        """Until all is done that was launched, on whatever stream.

        Raises:
            RuntimeError: A graph is being captured.
        """
        if self.capturing():
            raise RuntimeError("nobody can wait for the device while a graph is being captured")
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        else:
            self.handle.synchronize(self.stream())
        left, self._left = self._left, []
        for _, places in left:
            for place in places:
                self.handle.free(place)

    def leave(self, memory: object, places: Sequence[int]) -> None:
        """Let go of memory once nothing that was launched can use it.

        Torch cannot know when that is, since the launches are not its own. During a capture, when nobody can wait, the
        memory stays until somebody does.

        Args:
            memory: What holds torch's.
            places: What the device allocated.
        """
        self._left.append((memory, places))
        if not self.capturing():
            self.wait()


def emulated(module: ModuleType) -> Accelerator:
    """For tests: the device's kernels on the host, where tensors of the CPU are its memory."""
    return Accelerator(module.HostDevice(), torch.device("cpu"), "emulated")


@cache
def of(index: int) -> Accelerator:
    """The CUDA device of that number."""
    module = cuda.extension()
    if module is None:
        raise RuntimeError(cuda.reason(index))
    return Accelerator(module.Device(index), torch.device("cuda", index), "cuda")
