"""What Accelerate knows of the world is global: tests begin with none of it, and end so."""

from __future__ import annotations

import os

import torch
from accelerate.state import AcceleratorState, GradientState

NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def join() -> None:
    """Forget the last world; the process group there is, if any, is that of the next one."""
    leave()
    if torch.distributed.is_initialized():
        rank, size = str(torch.distributed.get_rank()), str(torch.distributed.get_world_size())
        # An address is asked for, though the group is there.
        os.environ |= dict(zip(NAMES, (rank, rank, size, size, "127.0.0.1", "29500"), strict=True))


def leave() -> None:
    """Leave nothing to the next test, in whatever process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    for name in (*NAMES, "ACCELERATE_USE_CPU"):
        os.environ.pop(name, None)
