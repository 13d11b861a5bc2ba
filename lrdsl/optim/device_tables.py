"""What the host writes for a device and reads from it: field by field the records of ``csrc/device_tables.h``."""

import ctypes
from ctypes import c_double, c_int32, c_int64, c_uint32, c_uint64

import numpy as np

from lrdsl.optim.hypers import Hyper
from lrdsl.optim.neighbours import Control

FIELDS = {name: index for index, name in enumerate(Hyper._fields[:-1])}
"""Which number of a group a target is."""
WORDS = len(Hyper._fields)
"""Numbers of a group, its flags among them."""
NOTHING = -1
"""No fault so far; no such metric."""


class Chunk(ctypes.Structure):
    """A stretch of a row that one block works on."""

    _fields_ = (("start", c_int64), ("row", c_int32), ("partial", c_uint32))


class Gradient(ctypes.Structure):
    """Where the gradient of a row is: 0 if there is none, 1 if it is empty."""

    _fields_ = (("place", c_uint64), ("dtype", c_int32), ("pad", c_int32))


class Target(ctypes.Structure):
    """One scheduled number of one group, and where its next value goes beside."""

    _fields_ = (
        ("program", c_uint64),
        ("slots", c_uint64),
        ("out", c_uint64),
        ("origin", c_int64),
        ("fault", c_int64),
        ("group", c_int32),
        ("field", c_int32),
        ("out_dtype", c_int32),
        ("pad", c_int32),
    )


class Listener(ctypes.Structure):
    """A target that hears a metric; its Program knows the metric by a number of its own."""

    _fields_ = (("target", c_int32), ("metric", c_int32), ("local", c_int32), ("pad", c_int32))


class Rate(ctypes.Structure):
    """An unscheduled rate that lives in a tensor."""

    _fields_ = (("place", c_uint64), ("dtype", c_int32), ("group", c_int32))


class Plan(ctypes.Structure):
    """What is scheduled. Read through its address, so that captured launches find later plans."""

    _fields_ = (
        ("targets", c_uint64),
        ("listeners", c_uint64),
        ("rates", c_uint64),
        ("slots", c_uint64),
        ("slots_out", c_uint64),
        ("n_targets", c_int64),
        ("n_listeners", c_int64),
        ("n_rates", c_int64),
        ("n_slots", c_int64),
        ("grad_norm", c_int64),
    )


class State(ctypes.Structure):
    """What lives from launch to launch."""

    _fields_ = (
        ("clock", c_int64),
        ("skipped", c_int64),
        ("steps", c_int64),
        ("reflections", c_int64),
        ("norm", c_double),
        ("ticket", c_uint32),
        ("norm_ticket", c_uint32),
    )


class Mirror(ctypes.Structure):
    """What the device tells the host; whole if ``begun`` equals ``done``."""

    begun: int
    clock: int
    skipped: int
    steps: int
    norm: float
    faults: int
    done: int

    _fields_ = (
        ("begun", c_int64),
        ("clock", c_int64),
        ("skipped", c_int64),
        ("steps", c_int64),
        ("norm", c_double),
        ("faults", c_int64),
        ("done", c_int64),
    )


class Tables(ctypes.Structure):
    """The argument of every kernel."""

    _fields_ = (
        ("rows", c_uint64),
        ("gradients", c_uint64),
        ("chunks", c_uint64),
        ("hypers", c_uint64),
        ("biases", c_uint64),
        ("partials", c_uint64),
        ("state", c_uint64),
        ("plan", c_uint64),
        ("mirror", c_uint64),
        ("history", c_uint64),
        ("n_rows", c_int64),
        ("n_groups", c_int64),
        ("n_chunks", c_int64),
        ("n_partials", c_int64),
        ("length", c_int64),
        ("control", Control),
    )


def moment(n_groups: int) -> np.dtype[np.void]:
    """An entry of the ring of rates."""
    return np.dtype([("step", np.int64), ("lr", np.float64, (n_groups,))])
