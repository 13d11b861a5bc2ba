"""SGD, Adam and AdamW, with the schedule inside the step, and a scheduler for any other optimizer. Needs torch."""

from lrdsl.optim.adam import Adam, AdamW
from lrdsl.optim.adapter import LRScheduler
from lrdsl.optim.saving import save_atomic
from lrdsl.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "LRScheduler", "save_atomic"]
