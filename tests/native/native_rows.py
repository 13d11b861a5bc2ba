"""A step of lrdsl._C over plain NumPy arrays: what lrdsl.optim does, without torch."""

import numpy as np
import pytest

from lrdsl.evaluators.native import extension, reason

_C = extension()
if _C is None:
    pytest.skip(f"not run: {reason()}", allow_module_level=True)

SGD, ADAM, LIMIT = 0, 1, 2
MAXIMIZE, AMSGRAD, NESTEROV, DECOUPLED = 1, 2, 4, 8
STARTED, STEP_FLOAT64, GRAD_FLOAT32 = 1, 2, 4
MEASURE, CLIP, SKIP_NONFINITE, ZERO = 1, 2, 4, 8
DTYPES = {np.dtype(np.float32): 0, np.dtype(np.float64): 1, np.dtype(np.uint16): 2, np.dtype(np.float16): 3}
"""The codes of element types; uint16 holds the bits of bfloat16, which NumPy lacks."""
BFLOAT16, FLOAT16 = np.uint16, np.float16
ISAS = _C.isas()


def dtype_of(fields, size):
    names, formats, offsets = zip(*fields, strict=True)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


ROW = dtype_of(_C.ROW_DTYPE, _C.ROW_SIZE)
HYPER = dtype_of(_C.HYPER_DTYPE, _C.HYPER_SIZE)
CONTROL = dtype_of(_C.CONTROL_DTYPE, _C.CONTROL_SIZE)


class Steps:
    """Parameters of one group with their state, and one native call per `step`."""

    def __init__(
        self, kind, parameters, *, threads=1, lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0,
        momentum=0.0, dampening=0.0, maximize=False, amsgrad=False, nesterov=False, decoupled=False, masters=None,
    ):  # fmt: skip
        self.kind, self.threads = kind, threads
        self.p = [np.array(p) for p in parameters]
        self.m, self.v, self.vmax = ([np.zeros(p.size, opmath(p)) for p in self.p] for _ in range(3))
        self.master = [np.array(master) for master in masters or []]
        self.published = np.zeros(len(self.p), np.float64)
        flags = maximize * MAXIMIZE + amsgrad * AMSGRAD + nesterov * NESTEROV + decoupled * DECOUPLED
        self.hypers = np.array([(lr, weight_decay, *betas, eps, momentum, dampening, flags)], HYPER)
        self.control = np.zeros(1, CONTROL)
        self.rows = np.zeros(len(self.p), ROW)
        for i, row in enumerate(self.rows):
            for name in ("p", "m", "v", "vmax"):
                row[name] = getattr(self, name)[i].ctypes.data
            row["n"] = self.p[i].size
            row["dtype"] = DTYPES[self.p[i].dtype]
            row["master"] = self.master[i].ctypes.data if masters else 0
            row["step_out"] = self.published[i:].ctypes.data
            row["flags"] = STEP_FLOAT64

    def step(self, gradients):
        self.rows["g"] = [0 if g is None else g.ctypes.data for g in gradients]
        for row, p, g in zip(self.rows, self.p, gradients, strict=True):
            wide = g is not None and g.dtype != p.dtype
            row["flags"] = row["flags"] & ~GRAD_FLOAT32 | wide * GRAD_FLOAT32
        rows, hypers, control = (table.ctypes.data for table in (self.rows, self.hypers, self.control))
        return _C.step(self.kind, rows, len(self.rows), hypers, len(self.hypers), control, self.threads)

    def norm(self):
        """The norm of the gradients of the last step."""
        _C.norm(self.rows.ctypes.data, len(self.rows), self.control.ctypes.data, self.threads)
        return float(self.control["norm"][0])

    def bytes(self):
        return b"".join(a.tobytes() for a in (*self.p, *self.m, *self.v, *self.vmax, *self.master))


def opmath(elements):
    return np.float64 if elements.dtype == np.float64 else np.float32


def widened(elements):
    """Elements in their opmath, exactly."""
    if elements.dtype == BFLOAT16:
        return (elements.astype(np.uint32) << 16).view(np.float32)
    return elements.astype(opmath(elements))


def rounded(values, dtype):
    """float32 to the nearest of a type in low precision, ties to even, without the bit tricks of the kernel."""
    if dtype == FLOAT16:
        with np.errstate(over="ignore"):
            return values.astype(np.float16)
    if dtype != BFLOAT16:
        return values.astype(dtype)
    below = values.view(np.uint32) >> 16  # towards zero
    with np.errstate(invalid="ignore", over="ignore"):
        exact = np.abs(values.astype(np.float64))
        low, high = (np.abs(widened((below + up).astype(np.uint16)).astype(np.float64)) for up in (0, 1))
        high = np.where(np.isinf(high), 2.0**128, high)  # where the next number would be
        up = (exact - low > high - exact) | ((exact - low == high - exact) & (below % 2 == 1))
    result = np.where(np.isinf(values), below, below + up).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FC0), result)


def random_arrays(seed, sizes, dtype=np.float32, scale=1.0):
    rng = np.random.default_rng(seed)
    arrays = [(scale * rng.standard_normal(n)).astype(np.float64 if dtype == np.float64 else np.float32) for n in sizes]
    return [rounded(values, dtype) for values in arrays]
