"""Learning-rate schedules as text, evaluated inside a fused optimizer.

>>> import lrdsl
>>> schedule = lrdsl.compile("warmup(500) >> cosine(10000, min=1e-6)", base_lr=3e-4)
>>> schedule.lr(500)
0.0003
"""

import sys
from typing import TYPE_CHECKING, Any

from lrdsl._version import __version__
from lrdsl.errors import Note, ScheduleError
from lrdsl.schedule import Schedule, compile

if TYPE_CHECKING:
    from lrdsl.optim import SGD, Adam, AdamW

__all__ = ["SGD", "Adam", "AdamW", "Note", "Schedule", "ScheduleError", "__version__", "compile"]


def __getattr__(name: str) -> Any:
    # The optimizers need torch; everything else must not import it.
    if name in ("SGD", "Adam", "AdamW"):
        try:
            from lrdsl import optim
        except ImportError as error:
            if "torch" in sys.modules:
                raise
            raise ImportError(f"lrdsl.{name} needs torch: pip install 'lrdsl[torch]'") from error
        return getattr(optim, name)
    raise AttributeError(f"module 'lrdsl' has no attribute {name!r}")
