"""The life of a step: who owns the rate, what is stepped, the update, the clock, the next rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from lrdsl.errors import ScheduleError
from lrdsl.optim import moments, native_step, state
from lrdsl.optim.batch import Batch, Group, named_parameters
from lrdsl.optim.binding import Binding, Units, bases_of, bind, columns
from lrdsl.optim.hypers import Hyper, Hypers
from lrdsl.optim.python_step import PythonStep
from lrdsl.optim.tensors import check_parameters
from lrdsl.schedule import Schedule

Reschedule = bool | Literal["branch"]
