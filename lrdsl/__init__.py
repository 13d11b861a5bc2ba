"""Learning-rate schedules as text, evaluated inside a fused optimizer.

>>> import lrdsl
>>> schedule = lrdsl.compile("warmup(500) >> cosine(10000, min=1e-6)", base_lr=3e-4)
>>> schedule.lr(500)
0.0003
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lrdsl._version import __version__
from lrdsl.errors import Note, ScheduleError

if TYPE_CHECKING:
    from lrdsl.multiplier import lambda_fn
    from lrdsl.optim import SGD, Adam, AdamW, LRScheduler, save_atomic
    from lrdsl.optim.named_groups import groups
    from lrdsl.schedule import Schedule, compile

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "LRScheduler",
    "Note",
    "Schedule",
    "ScheduleError",
    "__version__",
    "compile",
    "groups",
    "lambda_fn",
    "save_atomic",
]


def __getattr__(name: str) -> Any:
    # On first use: the optimizers need torch, which nothing else may import, and a command line starts sooner.
    if name in ("Schedule", "compile"):
        module = import_module("lrdsl.schedule")
    elif name == "lambda_fn":
        module = import_module("lrdsl.multiplier")
    elif name in ("SGD", "Adam", "AdamW", "LRScheduler", "groups", "save_atomic"):
        try:
            module = import_module("lrdsl.optim.named_groups" if name == "groups" else "lrdsl.optim")
        except ImportError as error:
            if "torch" in sys.modules:
                raise
            raise ImportError(f"lrdsl.{name} needs torch: pip install 'lrdsl[torch]'") from error
    else:
        raise AttributeError(f"module 'lrdsl' has no attribute {name!r}")
    globals()[name] = getattr(module, name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted(__all__)
