"""The device's kernels on a host grid: the bits of the CPU kernel, whatever the grid, its order and its threads."""

from itertools import product

import numpy as np
import pytest

from tests.native.native_rows import _C, ADAM, CONTROL, HYPER, ROW, SGD, STEP_FLOAT64, random_arrays
from tests.native.rules import RULES

FLOAT32, FLOAT64, BFLOAT16, FLOAT16 = range(4)
GRAD_FLOAT32 = 4
MEASURE, CLIP, SKIP_NONFINITE, ZERO = 1, 2, 4, 8
CHUNK = 4096
STATE = ("m", "v", "vmax")
ADVANCE, TICKET = 0, 1


def low_bits(values, dtype):
    """Float32 numbers that low precision holds exactly or nearly, as its bits."""
    if dtype == BFLOAT16:
        return (values.view(np.uint32) >> 16).astype(np.uint16)
    return values.astype(np.float16).view(np.uint16)


class Tensors:
    """Tables and the arrays they point to; the same seed makes equal ones, so that two ways to step can be compared."""

    def __init__(self, kind, sizes, options, formats=((FLOAT32, False, False),), flags=0, seed=1, max_norm=1.0):
        """Row i has format i mod their count: (dtype, master, float32 gradient)."""
        self.kind = kind
        self.arrays = []
        self.rows = np.zeros(len(sizes), ROW)
        self.published = self._keep(np.zeros(len(sizes)))
        for i, (row, n) in enumerate(zip(self.rows, sizes, strict=True)):
            dtype, master, _ = formats[i % len(formats)]
            wide = np.float64 if dtype == FLOAT64 else np.float32
            (p,) = random_arrays((seed, i), (n,), wide)
            low = dtype in (BFLOAT16, FLOAT16)
            row["p"] = self._keep(low_bits(p, dtype) if low else p.copy()).ctypes.data
            row["master"] = self._keep(p.copy()).ctypes.data if master else 0
            for k, name in enumerate(STATE):
                (state,) = random_arrays((seed, i, k), (n,), wide, 0.01)
                row[name] = self._keep(np.abs(state)).ctypes.data
            row["n"], row["dtype"], row["group"] = n, dtype, i % 2
            row["step_out"], row["flags"] = self.published[i:].ctypes.data, STEP_FLOAT64
        values = {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8} | self._fields(options)
        self.hypers = np.zeros(2, HYPER)
        for field, value in values.items():
            self.hypers[field] = value
        self.hypers["lr"][1] = 0.003
        self.control = np.zeros(1, CONTROL)
        self.control["max_norm"], self.control["flags"] = max_norm, flags
        self.formats = formats

    @staticmethod
    def _fields(options):
        options = dict(options)
        flags = sum(bit for bit, name in ((1, "maximize"), (2, "amsgrad"), (4, "nesterov"), (8, "decoupled"))
                    if options.pop(name, False))  # fmt: skip
        if "betas" in options:
            options["beta1"], options["beta2"] = options.pop("betas")
        return options | {"flags": flags}

    def _keep(self, array):
        self.arrays.append(array)
        return array

    def gradients(self, seed, scale=0.1, without=()):
        """New gradients in all rows but those ``without``."""
        for i, row in enumerate(self.rows):
            dtype, _, grad_float32 = self.formats[i % len(self.formats)]
            wide = np.float64 if dtype == FLOAT64 else np.float32
            (g,) = random_arrays((seed, i), (int(row["n"]),), wide, scale)
            row["flags"] |= GRAD_FLOAT32 if grad_float32 else 0
            low = dtype in (BFLOAT16, FLOAT16) and not grad_float32
            kept = self._keep(low_bits(g, dtype) if low else g)
            row["g"] = 0 if i in without else kept.ctypes.data if len(g) else 1

    def point(self, field, value):
        """Let ``grad_scale`` or ``found_inf`` be a number."""
        self.control[field] = self._keep(np.array([value], np.float32)).ctypes.data

    def tables(self):
        places = (table.ctypes.data for table in (self.rows, self.hypers, self.control))
        rows, hypers, control = places
        return self.kind, rows, len(self.rows), hypers, len(self.hypers), control

    def numbers(self):
        """Everything that a step may change, but for addresses."""
        counts = [self.rows[name].tobytes() for name in ("step", "flags")]
        control = [self.control[name].tobytes() for name in ("norm", "skipped")]
        return counts + control + [array.tobytes() for array in self.arrays]


GRIDS = [
    # blocks, seed of their order, threads
    (1, 0, 1),
    (2, 1, 1),
    (7, 2, 1),
    (64, 3, 1),
    (1000, 4, 1),
    (7, 5, 3),
    (64, 6, 4),
]
LOW = [(dtype, master, grad) for dtype in (BFLOAT16, FLOAT16) for master in (False, True) for grad in (False, True)]
ALL_FORMATS = ((FLOAT32, False, False), (FLOAT64, False, False), *LOW)
SIZES = (0, 1, 0, 7, 8, CHUNK - 1, CHUNK, CHUNK + 1, 1003, 3 * CHUNK + 17, 255, 257, 0)


def compare(make, steps=3, grids=GRIDS, variants=(ADVANCE, TICKET), before=lambda tensors, t: None, results=None):
    """Step the same tensors by the CPU kernel and on every grid."""
    def run(call):
        tensors = make()
        outcomes = []
        for t in range(steps):
            tensors.gradients(100 + t)
            before(tensors, t)
            outcomes.append(call(tensors))
        return outcomes, tensors.numbers()

    expected = run(lambda tensors: _C.step(*tensors.tables(), 1))
    if results is not None:
        assert expected[0] == results
    untouched = make().numbers()
    assert expected[1][: len(untouched)] != untouched
    for (blocks, seed, threads), variant in product(grids, variants):
        got = run(lambda tensors: _C.emulate(*tensors.tables(), blocks, seed, threads, variant))
        assert got == expected, (blocks, seed, threads, variant)


@pytest.mark.parametrize("rule", RULES)
def test_rules(rule):
    kind, options = RULES[rule]
    compare(lambda: Tensors(kind, (5, 0, CHUNK + 3, 33, 1), options, ALL_FORMATS[:2]), grids=GRIDS[2:4])


@pytest.mark.parametrize("rule", ["sgd", "nesterov-max", "adamw-decay", "amsgrad"])
@pytest.mark.parametrize("format", ALL_FORMATS, ids=str)
def test_formats(rule, format):
    kind, options = RULES[rule]
    compare(lambda: Tensors(kind, (CHUNK + 5, 0, 17, 1003), options, (format,), MEASURE | CLIP | ZERO), grids=GRIDS[1:3])
