"""Stochastic gradient descent."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor
from torch.optim.optimizer import ParamsT

from lrdsl.optim.base import Optimizer
from lrdsl.optim.batch import Group
from lrdsl.optim.binding import Context, Reschedule
from lrdsl.optim.hypers import MAXIMIZE, NESTEROV, Hyper, number


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, after a schedule.

        g = g + weight_decay * p
        buf = momentum * buf + (1 - dampening) * g      (the first time: buf = g)
        p = p - lr * buf                                (nesterov: lr * (g + momentum * buf))

    """

    _kind: ClassVar[int] = 0
