"""Which parameters and gradients can be stepped. Everything is checked before anything is written."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lrdsl.optim.distributed import local, placement

CPU = torch.device("cpu")
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
"""What a parameter may hold."""
NUMBERS = {dtype: number for number, dtype in enumerate(DTYPES)}
"""The same as C++ counts them."""
UNDECIDED = 2**20
"""How many partial sums to look at before two tensors count as overlapping."""


class Named(NamedTuple):
    """A parameter and what messages call it."""

    name: str
    tensor: Tensor


def check_parameters(parameters: Sequence[Named]) -> None:
    """Raise unless every parameter can be stepped and no two share memory.

    Raises:
        TypeError: A parameter is sparse, a meta tensor, or not of a dtype in ``DTYPES``.
        ValueError: A parameter is listed twice, overlaps itself or another one, or is an inference tensor.
    """
    seen: dict[int, str] = {}
    for name, p in parameters:
        if id(p) in seen:
            raise ValueError(f"{name} is the same tensor as {seen[id(p)]}: list every parameter once")
        seen[id(p)] = name
        _check_kind(name, p)
        check_writable(name, local(p))
    _check_disjoint([Named(name, local(p)) for name, p in parameters])


def check_gradient(name: str, p: Tensor, grad: Tensor) -> None:
    """Raise unless ``grad`` is a gradient that ``p`` can be stepped with.

    Raises:
        TypeError: The gradient is sparse, or of neither the parameter's dtype nor that of the update.
        ValueError: The gradient is of another shape, or on another device.
    """
    if grad.layout != torch.strided:
        raise TypeError(f"gradient of {name}: expected a dense tensor, got {_kind(grad)}")
    if grad.dtype not in (p.dtype, opmath(p)):
        wanted = _spelled({p.dtype: None, opmath(p): None})
        raise TypeError(f"gradient of {name}: expected {wanted}, got {_kind(grad)}")
    if placement(grad) != placement(p):
        raise TypeError(f"gradient of {name}: expected it spread as {placement(p)}, got {placement(grad)}")
    if grad.shape != p.shape:
        raise ValueError(f"gradient of {name}: expected shape {tuple(p.shape)}, got {tuple(grad.shape)}")
    if grad.device != p.device:
        raise ValueError(f"gradient of {name}: expected device {p.device}, got {grad.device}")


def check_writable(what: str, tensor: Tensor) -> None:
    """Raise ValueError if writing one element would change another, or is forbidden."""
    if not is_injective(tensor):
        shape = f"shape {tuple(tensor.shape)}, strides {tensor.stride()}"
        raise ValueError(f"{what} overlaps itself ({shape}): clone it first")
    if tensor.is_inference() and not torch.is_inference_mode_enabled():
        raise ValueError(f"{what} is an inference tensor, which cannot change: clone it outside inference mode first")


def opmath(p: Tensor) -> torch.dtype:
    """The dtype of the update and of its state: float32 for parameters in low precision, else their own."""
    return torch.float32 if p.itemsize < torch.float32.itemsize else p.dtype


def is_dense(tensor: Tensor) -> bool:
    """Whether the elements fill their stretch of memory without gaps, in whatever order of dimensions."""
    expected = 1
    for stride, size in _by_stride(tensor):
        if stride != expected:
            return False
        expected *= size
    return True


def same_layout(a: Tensor, b: Tensor) -> bool:
    """Whether two dense tensors of one shape have their elements in the same order in memory."""
    sides = zip(a.shape, a.stride(), b.stride(), strict=True)
    return a.numel() == 0 or all(left == right for size, left, right in sides if size > 1)


def _kind(tensor: Tensor) -> str:
    layout = "" if tensor.layout == torch.strided else str(tensor.layout).removeprefix("torch.") + " "
    return layout + _spelled([tensor.dtype])


def _spelled(dtypes: Iterable[torch.dtype]) -> str:
    return " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)


def _check_kind(name: str, p: Tensor) -> None:
    if p.layout != torch.strided or p.dtype not in DTYPES:
        raise TypeError(f"{name}: expected a dense tensor of {_spelled(DTYPES)}, got {_kind(p)}")
    if p.device.type == "meta":
        raise TypeError(f"{name} is a meta tensor, which holds no values: materialise it before making the optimizer")


def _by_stride(tensor: Tensor) -> list[tuple[int, int]]:
    """(stride, size) of the dimensions that move at all, innermost first."""
    if tensor.numel() == 0:
        return []
    return sorted((stride, size) for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1)


def is_injective(tensor: Tensor) -> bool:
    """Whether no two elements share an address: no nonzero step through the dimensions leads back."""
    sides = _by_stride(tensor)
    reach = 0
    for index, (stride, size) in enumerate(sides):
        if stride <= reach:  # interleaved dimensions may still miss each other
            inner = [(s, 1 - n, n - 1) for s, n in reversed(sides[:index])]
            if stride == 0 or _reaches(0, [(stride, 1, size - 1), *inner]):
                return False
        reach += stride * (size - 1)
    return True


def _reaches(total: int, terms: Sequence[tuple[int, int, int]]) -> bool:
    """Whether ``total`` is a sum of ``stride * k`` with ``low <= k <= high``, one k for each (stride, low, high).

    The terms come with falling strides > 0. Where dimensions are nested, at most two values of every k are possible;
    what would take more than ``UNDECIDED`` partial sums is taken as reached.
    """
    left = {total}
    for index, (stride, low, high) in enumerate(terms):
        least = sum(s * a for s, a, _ in terms[index + 1 :])
        most = sum(s * b for s, _, b in terms[index + 1 :])
        runs = [(t, max(low, -((most - t) // stride)), min(high, (t - least) // stride)) for t in left]
        if sum(max(0, last - first + 1) for _, first, last in runs) > UNDECIDED:
            return True
        left = {t - stride * k for t, first, last in runs for k in range(first, last + 1)}
    return 0 in left


def _bytes_spanned(tensor: Tensor) -> int:
    return (1 + sum(stride * (size - 1) for stride, size in _by_stride(tensor))) * tensor.element_size()


def _check_disjoint(parameters: Sequence[Named]) -> None:
    """Sweep over address ranges; only tensors whose ranges meet are compared element by element."""
    ranges = [
        (str(p.device), p.data_ptr(), p.data_ptr() + _bytes_spanned(p), Named(name, p))
        for name, p in parameters
        if p.numel()
    ]
    ranges.sort(key=lambda row: row[:3])
    reaching: list[tuple[str, int, Named]] = []
    for device, begin, end, later in ranges:
        reaching = [row for row in reaching if row[0] == device and row[1] > begin]
        for _, _, earlier in reaching:
            if _overlap(earlier.tensor, later.tensor):
                raise ValueError(f"{later.name} shares memory with {earlier.name}: a tied parameter is listed once")
        reaching.append((device, end, later))


def _overlap(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors with meeting address ranges have a cell in common."""
    if is_dense(a) and is_dense(b):
        return True
    first, second = a.element_size(), b.element_size()
    terms: dict[int, tuple[int, int]] = {1: (1 - second, first - 1)}  # bytes: stride -> range of its factor
    for tensor, unit, sign in ((a, first, 1), (b, second, -1)):
        for stride, size in _by_stride(tensor):
            low, high = terms.get(stride * unit, (0, 0))
            span = (size - 1) * sign
            terms[stride * unit] = (low + min(span, 0), high + max(span, 0))
    return _reaches(b.data_ptr() - a.data_ptr(), [(s, *terms[s]) for s in sorted(terms, reverse=True)])
