"""Which step runs, and why."""

from types import ModuleType
from typing import NamedTuple

import torch

from lrdsl import cuda, evaluators
from lrdsl.evaluators import native
from lrdsl.optim import accelerator
from lrdsl.optim.accelerator import Accelerator
from lrdsl.optim.groups import Group
from lrdsl.optim.tensors import CPU

BACKENDS = ("auto", "native", "python", "emulated")  # the last for tests: a device whose memory is the host's


class Choice(NamedTuple):
    """One way to step.

    Attributes:
        module: The extension; None for the Python step.
        device: Where a device steps by itself; None: the host does.
        why: In words.
    """

    module: ModuleType | None
    device: torch.device | None
    why: str

    @property
    def counts(self) -> torch.device:
        """Where the step counts are."""
        return self.device or CPU

    def accelerator(self, before: Accelerator | None) -> Accelerator | None:
        """The device; for tests the one before, if there was one."""
        if self.device is None or self.module is None:
            return None
        if self.device.type == "cuda":
            return accelerator.of(self.device.index)
        return before or accelerator.emulated(self.module)


def choose(backend: str, param_groups: list[Group]) -> Choice:
    """The best there is for these parameters.

    Raises:
        ValueError: There is no such backend.
        RuntimeError: Another step than Python's was asked for, and cannot run.
    """
    if backend not in BACKENDS:
        raise ValueError(f"expected backend to be one of {', '.join(BACKENDS)}, got {backend!r}")
    if backend == "python":
        return Choice(None, None, "backend='python' was asked for")
    module, why = native.extension(), native.reason()
    devices = {p.device for group in param_groups for p in group["params"]}
    device = next(iter(devices)) if len(devices) == 1 else CPU
    if not why and devices - {CPU}:
        why = _obstacle(devices, device) if backend != "emulated" else "it is for parameters on the CPU"
    if evaluators.python_only():
        why = "LRDSL_BACKEND=python is set"
    if module is None or why:
        if backend != "auto":
            raise RuntimeError(f"backend={backend!r} cannot run: {why}")
        return Choice(None, None, why)
    if device.type == "cuda":
        return Choice(module, device, "the extension for CUDA is live")
    return Choice(module, CPU if backend == "emulated" else None, f"the extension is live, with {module.isa()}")


def _obstacle(devices: set[torch.device], device: torch.device) -> str:
    """Why neither the CPU's step nor a GPU's can be taken."""
    if len(devices) > 1:
        places = ", ".join(sorted(map(str, devices)))
        return f"there are parameters on {places}; a fused step runs on one device"
    if device.type != "cuda":
        return f"there are parameters on {device.type}; the native step runs on the CPU and on CUDA devices"
    return cuda.reason(device.index)
