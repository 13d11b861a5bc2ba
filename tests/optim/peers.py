"""Our optimizers beside torch's: the options that are compared, how far results may lie apart, and small helpers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch.nn import Parameter

import lrdsl
from lrdsl.evaluators import native, python_only

WITHOUT_NATIVE = "LRDSL_BACKEND=python is set" if python_only() else native.reason()
needs_native = pytest.mark.skipif(bool(WITHOUT_NATIVE), reason=f"not run: {WITHOUT_NATIVE}")
BACKENDS = [pytest.param("native", marks=needs_native), "python"]
STEPS = [*BACKENDS, pytest.param("emulated", marks=needs_native)]
"""Every way to step that there is."""
DTYPES = [torch.float32, torch.float64]
HALVES = [torch.bfloat16, torch.float16]


@dataclass(frozen=True)
class Kind:
    """An optimizer with options that torch's counterpart takes as well."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def ours(self, params: Any, **more: Any) -> torch.optim.Optimizer:
        return getattr(lrdsl, self.name)(params, **self.options | more)

    def theirs(self, params: Any, **more: Any) -> torch.optim.Optimizer:
        return getattr(torch.optim, self.name)(params, **self.options | more)

    @property
    def momentum(self) -> float:
        return float(self.options.get("momentum", 0.0))


KINDS = {
    "sgd": Kind("SGD", {"lr": 0.1}),
    "momentum": Kind("SGD", {"lr": 0.1, "momentum": 0.9}),
    "nesterov": Kind("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "adam": Kind("Adam", {"lr": 0.01}),
    "adamw": Kind("AdamW", {"lr": 0.01}),
    "amsgrad": Kind("Adam", {"lr": 0.01, "amsgrad": True}),
}
"""What every input is tried with."""

VARIANTS = KINDS | {
    "sgd-decay": Kind("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    "sgd-maximize": Kind("SGD", {"lr": 0.1, "maximize": True}),
    "dampening": Kind("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.05}),
    "nesterov-decay-maximize": Kind(
        "SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.05, "maximize": True}
    ),
    "adam-decay": Kind("Adam", {"lr": 0.01, "weight_decay": 0.1}),
    "adam-decoupled": Kind("Adam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "adam-maximize": Kind("Adam", {"lr": 0.01, "maximize": True}),
    "adam-betas": Kind("Adam", {"lr": 0.01, "betas": (0.3, 0.6), "eps": 1e-3}),
    "adam-no-memory": Kind("Adam", {"lr": 0.01, "betas": (0.0, 0.0)}),
    "adamw-plain": Kind("AdamW", {"lr": 0.01, "weight_decay": 0.0}),
    "adamw-amsgrad-maximize": Kind("AdamW", {"lr": 0.01, "amsgrad": True, "maximize": True, "weight_decay": 0.1}),
}
"""Every option at least once."""


def parameters(shapes: Iterable[Sequence[int]], dtype: torch.dtype = torch.float32, seed: int = 0) -> list[Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [Parameter(torch.randn(tuple(shape), generator=generator, dtype=dtype)) for shape in shapes]


def twins(params: Sequence[Parameter]) -> list[Parameter]:
    """Independent copies, with the same strides where they have no gaps."""
    return [Parameter(p.detach().clone(), requires_grad=p.requires_grad) for p in params]


def widened(params: Sequence[Parameter]) -> list[Parameter]:
    """Contiguous copies, those of parameters in low precision in float32."""
    copies = (p.detach().clone(memory_format=torch.contiguous_format) for p in params)
    return [
        Parameter(p.float() if p.dtype in HALVES else p, q.requires_grad) for p, q in zip(copies, params, strict=True)
    ]


def copy_gradients(source: Sequence[Parameter], target: Sequence[Parameter]) -> None:
    """The same gradients in plain memory, in the dtype of their new parameter."""
    for p, q in zip(source, target, strict=True):
        q.grad = None if p.grad is None else p.grad.detach().clone(memory_format=torch.contiguous_format).to(q.dtype)


def round_to(dtypes: Sequence[Parameter], params: Sequence[Parameter]) -> None:
    """Round every parameter to what one of the dtype of its counterpart can hold."""
    for p, q in zip(dtypes, params, strict=True):
        q.data.copy_(q.detach().to(p.dtype))


def ulp(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The distance to the next number of ``dtype``."""
    info = torch.finfo(dtype)
    exponent = torch.frexp(values.abs().clamp(min=info.smallest_normal)).exponent - 1
    return info.eps * torch.exp2(exponent.to(values.dtype))


def fill_gradients(*sides: Sequence[Parameter], seed: int) -> float:
    """The same new random gradients for every side; gives the largest."""
    generator = torch.Generator().manual_seed(1000 + seed)
    largest = 0.0
    for ps in zip(*sides, strict=True):
        grad = torch.randn(ps[0].shape, generator=generator, dtype=torch.float64)
        for p in ps:
            p.grad = grad.to(p.dtype, copy=True)
        largest = max([largest, *grad.abs().flatten().tolist()])
    return largest


def assert_close(ours: Sequence[Parameter], theirs: Sequence[Parameter], rate: float, spread: float = 1.0) -> None:
    """The bound of the specification, in units of the rate: ``1e-4 * lr * s + 4 ULP(p)``; 1e-11 for float64.

    In low precision ``theirs`` are float32 values, rounded after every step.
    """
    for index, (p, q) in enumerate(zip(ours, theirs, strict=True)):
        p, q = p.detach(), q.detach()
        if p.dtype == torch.float64:
            bound = 1e-11 * (1 + q.abs())
        else:
            bound = 1e-4 * rate * spread + 4 * ulp(q, p.dtype)
            p = p.float()
        both_nan = p.isnan() & q.isnan()
        assert ((p - q).abs().le(bound) | both_nan | (p == q)).all(), f"parameter {index}: {(p - q).abs().max()}"


def fingerprint(optimizer: torch.optim.Optimizer) -> str:
    """A hash of every parameter, state tensor, counter and group value."""
    digest = hashlib.sha256()

    def take(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            dense = value.detach().to_dense() if value.layout != torch.strided else value.detach()
            digest.update(f"{dense.dtype} {tuple(dense.shape)}".encode())
            digest.update(dense.resolve_conj().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        elif isinstance(value, dict):
            for key in value:
                digest.update(str(key).encode())
                take(value[key])
        elif isinstance(value, list | tuple):
            for item in value:
                take(item)
        else:
            digest.update(repr(value).encode())

    take(optimizer.state_dict())
    take([group["params"] for group in optimizer.param_groups])
    return digest.hexdigest()
