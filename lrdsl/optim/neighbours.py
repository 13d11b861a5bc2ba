"""What a training loop does around the update, taken into the step: unscaling, clipping, skipping, zeroing."""

import ctypes
import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor

from lrdsl.optim.tensors import CPU

GRAD_NORM = "grad_norm"
"""The metric that the optimizer reports itself."""
MEASURE, CLIP, SKIP_NONFINITE, ZERO = 1, 2, 4, 8


@dataclass(frozen=True)
class Neighbours:
    """What is asked for, once and for all.

    Attributes:
        max_grad_norm: Gradients act as if scaled down to this 2-norm; None: as they are.
        skip_nonfinite: No update if the norm is not finite.
        zero_grads: Leave zeros in the gradients.

    Raises:
        ValueError: ``max_grad_norm`` is not finite and positive.
        TypeError: It is not a number, or another one neither True nor False.
    """

    max_grad_norm: float | None = None
    skip_nonfinite: bool = False
    zero_grads: bool = False

    def __post_init__(self) -> None:
        norm = self.max_grad_norm
        if norm is not None and (not isinstance(norm, Real) or isinstance(norm, bool)):
            raise TypeError(f"expected max_grad_norm to be a number or None, got {norm!r}")
        if norm is not None and not 0.0 < norm < math.inf:
            raise ValueError(f"expected max_grad_norm to be a finite number > 0, got {norm!r}")
        check_switch("skip_nonfinite", self.skip_nonfinite)
        check_switch("zero_grads", self.zero_grads)

    @property
    def flags(self) -> int:
        """The same for the native step."""
        clip = self.max_grad_norm is not None
        return CLIP * clip | SKIP_NONFINITE * self.skip_nonfinite | ZERO * self.zero_grads


class Control(ctypes.Structure):
    """What one step is told and tells beside its tensors: field by field the ``Control`` of ``csrc/tables.h``.

    Attributes:
        max_norm: What to clip to.
        norm: 2-norm of the gradients last measured, unscaled and unclipped; nan before there was one.
        grad_scale: Address of a float32 that every gradient is to be divided by; 0: none.
        found_inf: Address of a float32; the step is skipped unless it is 0; 0: none.
        flags: What to do.
        skipped: Steps so far.
        inputs: The tensors at those addresses.
    """

    max_norm: float
    norm: float
    grad_scale: int
    found_inf: int
    flags: int
    skipped: int

    _fields_ = (
        ("max_norm", ctypes.c_double),
        ("norm", ctypes.c_double),
        ("grad_scale", ctypes.c_uint64),
        ("found_inf", ctypes.c_uint64),
        ("flags", ctypes.c_int64),
        ("skipped", ctypes.c_int64),
    )

    def __init__(self, wanted: Neighbours, norm: float = math.nan, skipped: int = 0) -> None:
        super().__init__(max_norm=wanted.max_grad_norm or 0.0, norm=norm, skipped=skipped)
        self._wanted = wanted.flags
        self.inputs: tuple[Tensor | None, Tensor | None] = (None, None)

    def begin(self, grad_scale: object, found_inf: object, device: torch.device = CPU) -> None:
        """Take the inputs of one step; a float32 tensor on the device that steps is neither read nor copied.

        Raises:
            ValueError: One is neither None nor one number.
        """
        self.inputs = _cell("grad_scale", grad_scale, device), _cell("found_inf", found_inf, device)
        self.grad_scale, self.found_inf = (0 if cell is None else cell.data_ptr() for cell in self.inputs)
        self.flags = self._wanted | (MEASURE if self._wanted & (CLIP | SKIP_NONFINITE) else 0)

    def measure(self) -> None:
        """The norm is needed, whether it decides anything or not."""
        self.flags |= MEASURE

    def measured(self) -> None:
        """The norm is known: this step need not measure it again."""
        self.flags &= ~MEASURE

    @property
    def scale(self) -> float | None:
        """What the gradients are to be divided by."""
        cell = self.inputs[0]
        return None if cell is None else cell.item()

    @property
    def factor(self) -> float | None:
        """What the gradients are multiplied by then; None where the norm is within bounds."""
        if not self.flags & CLIP:
            return None
        factor = self.max_norm / (self.norm + 1e-6)  # as torch.nn.utils.clip_grad_norm_
        return None if factor >= 1.0 else factor

    @property
    def vetoed(self) -> bool:
        """Whether the update must not be made."""
        cell = self.inputs[1]
        if cell is not None and cell.item() != 0.0:
            return True
        return bool(self.flags & SKIP_NONFINITE) and not math.isfinite(self.norm)


def check_switch(name: str, value: object) -> None:
    """Raise TypeError unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"expected {name} to be True or False, got {value!r}")


def norm_of(grads: Iterable[Tensor], scale: float | None) -> float:
    """The 2-norm of all gradients, unscaled."""
    norms = [torch.linalg.vector_norm(grad.detach(), dtype=torch.float64) for grad in grads]
    norm = torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros((), dtype=torch.float64, device=CPU)
    return (norm if scale is None else norm / scale).item()


def _cell(name: str, value: object, device: torch.device) -> Tensor | None:
    """A number as a step reads it: one float32 in the memory of its device."""
    if value is None:
        return None
    if not isinstance(value, Tensor | Real) or (isinstance(value, Tensor) and value.numel() != 1):
        raise ValueError(f"expected {name} to be one number, got {value!r}")
    tensor = value.detach() if isinstance(value, Tensor) else torch.tensor(float(value), device=CPU)
    return tensor.to(device, torch.float32)
