"""A step of lrdsl._C over plain NumPy arrays: what lrdsl.optim does, without torch."""

import numpy as np
import pytest

from lrdsl.evaluators.native import extension, reason

_C = extension()
if _C is None:
    pytest.skip(f"not run: {reason()}", allow_module_level=True)

SGD, ADAM = 0, 1
MAXIMIZE, AMSGRAD, NESTEROV, DECOUPLED = 1, 2, 4, 8
STARTED, STEP_FLOAT64 = 1, 2
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
        momentum=0.0, dampening=0.0, maximize=False, amsgrad=False, nesterov=False, decoupled=False,
    ):  # fmt: skip
        self.kind, self.threads = kind, threads
        self.p = [np.array(p) for p in parameters]
        self.m, self.v, self.vmax = ([np.zeros_like(p) for p in self.p] for _ in range(3))
        self.published = np.zeros(len(self.p), np.float64)
        flags = maximize * MAXIMIZE + amsgrad * AMSGRAD + nesterov * NESTEROV + decoupled * DECOUPLED
        self.hypers = np.array([(lr, weight_decay, *betas, eps, momentum, dampening, flags)], HYPER)
        self.control = np.zeros(1, CONTROL)
        self.rows = np.zeros(len(self.p), ROW)
        for i, row in enumerate(self.rows):
            for name in ("p", "m", "v", "vmax"):
                row[name] = getattr(self, name)[i].ctypes.data
            row["n"] = self.p[i].size
            row["dtype"] = int(self.p[i].dtype == np.float64)
            row["step_out"] = self.published[i:].ctypes.data
            row["flags"] = STEP_FLOAT64

    def step(self, gradients):
        self.rows["g"] = [0 if g is None else g.ctypes.data for g in gradients]
        rows, hypers, control = (table.ctypes.data for table in (self.rows, self.hypers, self.control))
        return _C.step(self.kind, rows, len(self.rows), hypers, 1, control, self.threads)

    def bytes(self):
        return b"".join(a.tobytes() for a in (*self.p, *self.m, *self.v, *self.vmax))


def random_arrays(seed, sizes, dtype=np.float32, scale=1.0):
    rng = np.random.default_rng(seed)
    return [(scale * rng.standard_normal(n)).astype(dtype) for n in sizes]
