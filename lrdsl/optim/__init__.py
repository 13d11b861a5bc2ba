"""SGD, Adam and AdamW, with the schedule inside the step. Needs torch."""

from lrdsl.optim.adam import Adam, AdamW
from lrdsl.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW"]
