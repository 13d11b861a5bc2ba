"""One table of what an optimizer may be given: how to make it, and whether it works or which error names it.

A case makes parameters and then, step by step, their gradients. Correct cases are compared with torch on plain,
contiguous copies; wrong ones must raise before anything has been written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Parameter

Shapes = Sequence[Sequence[int]]
Reshape = Callable[[Tensor], Tensor]


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _random(shapes: Shapes, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = _generator(0)
    return [torch.randn(tuple(shape), generator=generator, dtype=dtype) for shape in shapes]


def plain(shapes: Shapes, dtype: torch.dtype = torch.float32) -> Callable[[], list[Parameter]]:
    return lambda: [Parameter(tensor) for tensor in _random(shapes, dtype)]


def laid_out(shapes: Shapes, layout: Reshape) -> Callable[[], list[Parameter]]:
    return lambda: [Parameter(layout(tensor)) for tensor in _random(shapes)]


def transposed(tensor: Tensor) -> Tensor:
    """Equal values, last dimension outermost."""
    return tensor.permute(*reversed(range(tensor.dim()))).contiguous().permute(*reversed(range(tensor.dim())))


def channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last)


def sliced(tensor: Tensor) -> Tensor:
    """Equal values, every other element of wider memory."""
    wide = torch.full((*tensor.shape[:-1], 2 * tensor.shape[-1]), 7.0, dtype=tensor.dtype)
    wide[..., ::2] = tensor
    return wide[..., ::2]


def misaligned(tensor: Tensor) -> Tensor:
    """Equal values, one element into their storage."""
    return torch.cat([tensor.new_zeros(1), tensor.flatten()])[1:].view(tensor.shape)


def odd_ones(tensor: Tensor) -> Tensor:
    """Dimensions of size 1 may have any stride."""
    return tensor.as_strided(
        tensor.shape, tuple(99 if n == 1 else s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    )


def _gradients(params: Sequence[Parameter], step: int) -> list[Tensor | None]:
    generator = _generator(100 + step)
    return [torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype) for p in params]


@dataclass(frozen=True)
class Case:
    """Parameters and their gradients at every step."""

    make: Callable[[], list[Parameter]]
    layout: Reshape = torch.Tensor.contiguous  # of the gradients
    missing: Callable[[int, int], bool] = lambda index, step: False  # which gradients are None
    poison: float | None = None  # in the first element of each gradient at step 1
    wide: bool = False  # float32 gradients
    groups: int = 1

    def fill(self, params: Sequence[Parameter], step: int) -> None:
        for index, (p, grad) in enumerate(zip(params, _gradients(params, step), strict=True)):
            if self.missing(index, step) or not p.requires_grad:
                p.grad = None
                continue
            if self.poison is not None and step == 1 and grad.numel():
                grad.view(-1)[0] = self.poison
            if self.wide:
                p.grad_dtype, grad = torch.float32, grad.float()
            p.grad = self.layout(grad)

    def grouped(self, params: Sequence[Parameter]) -> list[dict[str, list[Parameter]]]:
        size = -(-len(params) // self.groups)
        return [{"params": list(params[i : i + size])} for i in range(0, len(params), size)]


def _frozen() -> list[Parameter]:
    first, second, third = plain([[5], [6], [7]])()
    second.requires_grad_(False)
    return [first, second, third]


def _mixed(*dtypes: torch.dtype) -> Callable[[], list[Parameter]]:
    return lambda: [p for dtype in dtypes for p in plain([[33], [4, 5]], dtype)()]


def _interleaved() -> list[Parameter]:
    """Two parameters that share storage, element by element, without overlap."""
    wide = torch.randn(6, 8, generator=_generator(0))
    return [Parameter(wide[:, :3]), Parameter(wide[:, 3:])]


WIDE, LOW = (torch.float32, torch.float64), (torch.bfloat16, torch.float16)
SIZES = (1, 7, 8, 15, 16, 17, 63, 64, 65, 1003)

CORRECT = {
    "vector sizes": Case(plain([[n] for n in SIZES])),
    "0-dimensional": Case(plain([[], [], [3]])),
    "empty first": Case(plain([[0], [5], [6]])),
    "empty middle": Case(plain([[5], [0, 3], [6]])),
    "empty last": Case(plain([[5], [6], [2, 0]])),
    "empty all": Case(plain([[0], [0, 4]])),
    "over the threads' threshold": Case(plain([[40_000], [3], [257, 129]])),
    "channels last": Case(laid_out([[4, 3, 5, 6]], channels_last)),
    "transposed": Case(laid_out([[4, 5], [3, 4, 5]], transposed)),
    "sliced": Case(laid_out([[4, 5], [7]], sliced)),
    "interleaved": Case(_interleaved),
    "misaligned": Case(laid_out([[37], [5, 5]], misaligned), layout=misaligned),
    "size-1 dimensions": Case(laid_out([[4, 1, 5], [1, 6]], odd_ones)),
    "gradients channels last": Case(plain([[4, 3, 5, 6]]), layout=channels_last),
    "gradients transposed": Case(plain([[4, 5], [5, 5], [2, 3, 4]]), layout=transposed),
    "gradients sliced": Case(plain([[4, 5], [9]]), layout=sliced),
    "gradients with odd size-1 dimensions": Case(plain([[4, 1, 5], [1, 6]]), layout=odd_ones),
    "parameters transposed, gradients not": Case(laid_out([[4, 5]], transposed)),
    "both transposed": Case(laid_out([[4, 5]], transposed), layout=transposed),
    "some gradients missing": Case(plain([[5], [6], [7]]), missing=lambda index, step: (index + step) % 3 == 0),
    "all gradients missing": Case(plain([[5], [6]]), missing=lambda index, step: True),
    "gradients late": Case(plain([[5], [6]]), missing=lambda index, step: step < 2),
    "gradients alternate between twins": Case(plain([[5], [5]]), missing=lambda index, step: (index + step) % 2 == 0),
    "both sliced": Case(laid_out([[4, 5], [7]], sliced), layout=sliced),
    "requires_grad False": Case(_frozen),
    "float32 beside float64": Case(_mixed(*WIDE)),
    "float32 beside float64 in groups": Case(_mixed(*WIDE), groups=3),
    "bfloat16": Case(plain([[n] for n in SIZES], torch.bfloat16)),
    "float16": Case(plain([[n] for n in SIZES], torch.float16)),
    "all dtypes": Case(_mixed(*WIDE, *LOW)),
    "all dtypes in groups": Case(_mixed(*LOW, *WIDE), groups=3),
    "float32 gradients of low precision": Case(_mixed(torch.float32, *LOW), wide=True),
    "low precision sliced": Case(laid_out([[4, 5], [7]], lambda tensor: sliced(tensor.bfloat16()))),
    "low precision, gradients transposed": Case(plain([[4, 5], [2, 3, 4]], torch.float16), layout=transposed),
    "low precision, float32 gradients transposed": Case(_mixed(*LOW), layout=transposed, wide=True),
    "nan in low precision": Case(plain([[5], [20]], torch.bfloat16), poison=float("nan")),
    "500 tensors": Case(plain([[n % 7 + 1] for n in range(500)])),
    "100 groups": Case(plain([[3]] * 200), groups=100),
    "nan in a gradient": Case(plain([[5], [20]]), poison=float("nan")),
    "inf in a gradient": Case(plain([[5], [20]]), poison=float("inf")),
}


@dataclass(frozen=True)
class Wrong:
    """Something that cannot be stepped.

    Attributes:
        make: Parameters; with `spoil` they are fine at first.
        error: What is raised,
        message: and what it says.
        spoil: Done to the second of three parameters after a good step; None if the constructor refuses.
    """

    make: Callable[[], list[Tensor]]
    error: type[Exception]
    message: str
    spoil: Callable[[Parameter], None] | None = None


def _three() -> list[Parameter]:
    return plain([[5], [4, 3], [6]])()


def _low() -> list[Parameter]:
    return plain([[5], [4, 3], [6]], torch.bfloat16)()


def _with(second: Callable[[], Tensor]) -> Callable[[], list[Tensor]]:
    def make() -> list[Tensor]:
        first, _, third = _three()
        return [first, second(), third]

    return make


def _twice() -> list[Parameter]:
    first, second, _ = _three()
    return [first, second, first]


def _sharing(cut: Callable[[Tensor], Sequence[Tensor]]) -> Callable[[], list[Parameter]]:
    return lambda: [*plain([[5]])(), *map(Parameter, cut(torch.randn(8, 8, generator=_generator(0))))]


def _sparse_gradient(p: Parameter) -> None:
    p.grad = torch.randn(4, 3).to_sparse()


def _shrunk_parameter(p: Parameter) -> None:
    p.data = p.data[:2]


def _reshaped_parameter(p: Parameter) -> None:
    p.data = torch.zeros(3, 4)


def _reshaped_gradient(p: Parameter) -> None:
    p.grad.data = torch.zeros(2, 2)


def _narrow_gradient(p: Parameter) -> None:
    p.grad.data = torch.zeros(4, 3, dtype=torch.float16)


def _any_gradient(dtype: torch.dtype) -> Callable[[Parameter], None]:
    def spoil(p: Parameter) -> None:
        p.grad_dtype = None
        p.grad = torch.ones(4, 3, dtype=dtype)

    return spoil


def _reinterpreted(p: Parameter) -> None:
    """The other dtype of the same size, in the same memory."""
    p.grad_dtype = None
    p.data = p.data.view(torch.float16)


def _reinterpreted_gradient(p: Parameter) -> None:
    p.grad.data = p.grad.data.view(torch.float16)


def _widened(p: Parameter) -> None:
    p.data = p.data.double()


def _overlapping(p: Parameter) -> None:
    p.data = torch.zeros(1).expand(4, 3)


REFUSED = {
    "sparse": Wrong(_with(lambda: torch.eye(3).to_sparse()), TypeError, "parameter 1.*dense.*sparse"),
    "complex": Wrong(
        _with(lambda: Parameter(torch.zeros(3, dtype=torch.complex64))), TypeError, "parameter 1.*complex64"
    ),
    "integer": Wrong(_with(lambda: torch.zeros(3, dtype=torch.int64)), TypeError, "parameter 1.*int64"),
    "boolean": Wrong(_with(lambda: torch.zeros(3, dtype=torch.bool)), TypeError, "parameter 1.*bool"),
    "meta": Wrong(_with(lambda: Parameter(torch.zeros(3, device="meta"))), TypeError, "parameter 1 is a meta tensor"),
    "overlaps itself": Wrong(
        _with(lambda: Parameter(torch.zeros(1).expand(3))), ValueError, "parameter 1 overlaps itself"
    ),
    "overlaps itself by a stride": Wrong(
        _with(lambda: Parameter(torch.zeros(9).as_strided((4, 3), (2, 1)))), ValueError, "parameter 1 overlaps itself"
    ),
    "same memory": Wrong(_sharing(lambda w: [w, w]), ValueError, "parameter 2 shares memory with group 0, parameter 1"),
    "memory in common": Wrong(_sharing(lambda w: [w[:5], w[4:]]), ValueError, "parameter 2 shares memory"),
    "columns in common": Wrong(_sharing(lambda w: [w[:, :4], w[:, 3:]]), ValueError, "parameter 2 shares memory"),
    "another dtype's memory": Wrong(
        _sharing(lambda w: [w[:, :4], w.view(torch.float64)[:, 1:]]), ValueError, "parameter 2 shares memory"
    ),
    "a wider dtype's memory": Wrong(
        _sharing(lambda w: [w.view(torch.float64)[:, :2], w[:, 3:]]), ValueError, "parameter 2 shares memory"
    ),
    "listed twice": Wrong(_twice, ValueError, "listed twice"),
    "no leaf": Wrong(_with(lambda: Parameter(torch.zeros(3)) * 2), ValueError, "non-leaf"),
    "no tensor": Wrong(_with(lambda: 3.0), TypeError, "Tensors"),  # type: ignore[arg-type, return-value]
    "sparse gradient": Wrong(_three, TypeError, "gradient of group 0, parameter 1.*sparse", _sparse_gradient),
    "parameter shrunk": Wrong(
        _three, ValueError, r"gradient of group 0, parameter 1.*\(2, 3\).*\(4, 3\)", _shrunk_parameter
    ),
    "parameter reshaped": Wrong(_three, ValueError, "gradient of group 0, parameter 1.*shape", _reshaped_parameter),
    "gradient reshaped": Wrong(_three, ValueError, "gradient of group 0, parameter 1.*shape", _reshaped_gradient),
    "gradient of another dtype": Wrong(
        _three, TypeError, "gradient of group 0, parameter 1.*float16", _narrow_gradient
    ),
    "low gradient of a float32 parameter": Wrong(
        _three, TypeError, "gradient of group 0, parameter 1: expected float32, got bfloat16", _any_gradient(LOW[0])
    ),
    "integer gradient": Wrong(
        _three, TypeError, "parameter 1: expected float32, got int32", _any_gradient(torch.int32)
    ),
    "float16 gradient of bfloat16": Wrong(
        _low, TypeError, "parameter 1: expected bfloat16 or float32, got float16", _any_gradient(LOW[1])
    ),
    "float64 gradient of bfloat16": Wrong(
        _low, TypeError, "parameter 1: expected bfloat16 or float32, got float64", _any_gradient(torch.float64)
    ),
    "reinterpreted gradient": Wrong(
        _low, TypeError, "parameter 1: expected bfloat16 or float32, got float16", _reinterpreted_gradient
    ),
    "reinterpreted parameter": Wrong(
        _low, TypeError, "parameter 1: expected float16 or float32, got bfloat16", _reinterpreted
    ),
    "parameter of another dtype": Wrong(_three, TypeError, "gradient of group 0, parameter 1.*float64", _widened),
    "parameter overlapping later": Wrong(_three, ValueError, "parameter 1 overlaps itself", _overlapping),
}
