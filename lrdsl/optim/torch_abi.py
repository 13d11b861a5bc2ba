"""Finds in the imported torch what the compiled walk calls, and tries it out.

The extension is not built against torch. Most of what it calls is torch's stable C interface; two C++ functions, the
place where a Python tensor keeps its handle and the place where a tensor keeps its dispatch keys are not promised by
anyone. So nothing is taken on trust: whatever is missing, or does not tell of a tensor what torch itself tells of it,
is a reason to walk in Python instead.
"""

import ctypes
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

LIBRARIES = ("libtorch_cpu", "libc10", "torch_cpu", "c10")
SUFFIXES = (".so", ".dylib", ".dll")
LARGEST_TENSOR = 184
"""Bytes of a tensor that are looked through; torch's own object is not smaller."""


@cache
def obstacle(module: ModuleType, device: str = "cpu") -> str:
    """Why the compiled walk cannot be used; empty if it can.

    Args:
        module: The extension, whose ``bind_torch`` is called.
        device: Where the tensors are, with its index: no other device is to be woken up.
    """
    if device != "cpu":
        return obstacle(module) or _difference(module, device)
    addresses = {name: address for name in module.TORCH_SYMBOLS if (address := _address(name))}
    missing = [name for name in module.TORCH_SYMBOLS if name not in addresses]
    if missing:
        return f"torch {torch.__version__} does not export {missing[0]}"
    offset, keys_offset = _offset(), _keys_offset()
    if offset is None or keys_offset is None:
        return f"a tensor of torch {torch.__version__} keeps its handle or its keys in an unknown place"
    module.bind_torch(addresses, offset, keys_offset, keys("cpu"), torch.empty(0, device="cpu"))
    return _difference(module, "cpu")


@cache
def keys(device: str) -> int:
    """The dispatch keys of a plain dense tensor on a device."""
    with torch.inference_mode(False):
        return _keys(torch.empty(0, device=device))


def _difference(module: ModuleType, device: str) -> str:
    plain = keys(device)
    for tensor in _samples(device):
        told, known = module.describe(tensor, plain), _description(tensor, device)
        if told != known:
            return f"torch {torch.__version__} lays its tensors out differently: {told} for {known}"
    return ""


def _address(symbol: str) -> int | None:
    for library in _libraries():
        try:
            return ctypes.cast(getattr(library, symbol), ctypes.c_void_p).value
        except AttributeError:
            continue
    return None


@cache
def _libraries() -> tuple[ctypes.CDLL, ...]:
    folder = Path(torch.__file__).parent / "lib"
    paths = (folder / (name + suffix) for name in LIBRARIES for suffix in SUFFIXES)
    return tuple(ctypes.CDLL(str(path)) for path in paths if path.is_file())


def _offset() -> int | None:
    """Where in a tensor's object its handle lies: at the one word that holds what ``_cdata`` says."""
    with torch.device("cpu"):
        probe, other = torch.zeros(2), Parameter(torch.zeros(3))
    word = ctypes.sizeof(ctypes.c_void_p)
    for offset in range(object.__basicsize__, Tensor.__basicsize__, word):
        if all(ctypes.c_void_p.from_address(id(t) + offset).value == t._cdata for t in (probe, other)):
            return offset
    return None


def _keys(tensor: Tensor) -> int:
    return int(torch._C._dispatch_keys(tensor).raw_repr())


def _keys_offset() -> int | None:
    """Where in a tensor its dispatch keys lie: at the one word that holds what torch says they are."""
    with torch.device("cpu"):
        probes = torch.zeros(2), torch._neg_view(torch.zeros(2)), torch.zeros(1, dtype=torch.bfloat16, device="meta")
    for offset in range(0, LARGEST_TENSOR, 8):
        if all(ctypes.c_uint64.from_address(t._cdata + offset).value == _keys(t) for t in probes):
            return offset
    return None


class _Dispatching(Tensor):
    """A tensor that asks Python."""

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return func(*args, **(kwargs or {}))


def _samples(device: str) -> Iterator[Tensor]:
    with torch.device(device):
        yield torch.zeros(())
        yield torch.zeros(0, 3)
        yield torch.arange(24.0).view(2, 3, 4).permute(2, 0, 1)[1:]
        yield torch.zeros(3, dtype=torch.float64)
        yield torch.zeros(3, dtype=torch.bfloat16)
        yield torch.zeros(3, dtype=torch.float16)
        yield torch._neg_view(torch.ones(3))
        yield torch.zeros(2, 2).to_sparse()
        yield torch.zeros(2, device="meta")
        yield torch.zeros(2, device="cpu")
        yield torch.zeros(2).as_subclass(_Dispatching)
        yield torch.zeros(2, dtype=torch.complex64).conj()
        with torch.inference_mode():
            inference = torch.zeros(2)
        yield inference
        parameter = Parameter(torch.zeros(4))
        yield parameter
        parameter.grad = torch.ones(4)
        yield parameter
        parameter.data = torch.zeros(4)[::1]
        yield parameter
        one, two = torch.zeros(5), torch.zeros(6)
        torch.utils.swap_tensors(one, two)  # type: ignore[no-untyped-call]
        yield from (one, two)


DTYPES = {
    dtype: number
    for number, dtype in enumerate(
        (
            torch.uint8,
            torch.int8,
            torch.int16,
            torch.int32,
            torch.int64,
            torch.float16,
            torch.float32,
            torch.float64,
            torch.complex32,
            torch.complex64,
            torch.complex128,
            torch.bool,
            torch.qint8,
            torch.quint8,
            torch.qint32,
            torch.bfloat16,
        )
    )
}


def _description(tensor: Tensor, device: str) -> tuple[object, ...]:
    """What the extension must say of it."""
    grad = tensor.grad
    special = tensor.is_neg() or tensor.is_conj() or tensor.is_inference() or isinstance(tensor, _Dispatching)
    elsewhere = tensor.device.type != torch.device(device).type
    if special or tensor.layout != torch.strided or elsewhere:
        return False, grad is not None
    return (
        True,
        grad is not None,
        tensor.data_ptr(),
        DTYPES[tensor.dtype],
        [*tensor.shape, *tensor.stride()],
        0 if grad is None else grad._cdata,
    )
