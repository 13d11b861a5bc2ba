"""SGD, Adam and AdamW, with the schedule inside the step, and a scheduler for any other optimizer. Needs torch."""

import torch

from lrdsl import versions

versions.require("torch", "2.13", torch.__version__)

from lrdsl.optim.adam import Adam, AdamW  # noqa: E402
from lrdsl.optim.adapter import LRScheduler  # noqa: E402
from lrdsl.optim.saving import save_atomic  # noqa: E402
from lrdsl.optim.sgd import SGD  # noqa: E402

__all__ = ["SGD", "Adam", "AdamW", "LRScheduler", "save_atomic"]
