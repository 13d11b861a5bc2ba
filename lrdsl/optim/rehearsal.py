"""Steps that do not count: what an optimizer puts back after a rehearsal, into the memory where it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lrdsl.optim.moments import MASTER, State

if TYPE_CHECKING:
    from lrdsl.optim.base import Optimizer


@contextmanager
def rehearse(optimizer: "Optimizer") -> Iterator[None]:
    """As `Optimizer.rehearsal`."""
    optimizer._settle("rehearsal()")
    optimizer._check_owner()
    optimizer._published.remember()
    tensors = _Tensors(optimizer)
    schedules = [(b, b.schedule.state_dict(), dict(b.applied), dict(b.faults)) for b in optimizer._bindings if b]
    control, history = optimizer._control, optimizer._history
    numbers = optimizer._clock, control.norm, control.skipped
    moments, outer = history.save(), optimizer._rehearsing
    optimizer._rehearsing = True
    try:
        yield
    finally:
        optimizer._rehearsing = outer
        optimizer._settle("the end of a rehearsal")
        tensors.put_back(optimizer)
        for binding, slots, applied, faults in schedules:
            binding.schedule.load_state_dict(slots)
            binding.applied, binding.faults = applied, faults
        optimizer._clock, control.norm, control.skipped = numbers
        history.restore(moments)
        optimizer._stepper.forget()
        optimizer._published.recall()
        optimizer._published.publish(optimizer._clock)
        optimizer._restart()


class _Tensors:
    """The parameters and their state, and whose momentum has not started."""

    def __init__(self, optimizer: "Optimizer") -> None:
        self._values = [(p, p.detach().clone()) for group in optimizer.param_groups for p in group["params"]]
        self._state = {p: {key: (entry, _copy(entry)) for key, entry in s.items()} for p, s in optimizer.state.items()}
        self._unstarted = set(optimizer._unstarted)

    @torch.no_grad()
    def put_back(self, optimizer: "Optimizer") -> None:
        """Undo every change, in place. State that was made meanwhile stays, as `Optimizer.init_state` makes it."""
        for p, value in self._values:
            p.copy_(value)
        optimizer._unstarted.clear()
        optimizer._unstarted.update(self._unstarted)
        for p, state in optimizer.state.items():
            new = state.keys() - self._state.get(p, {}).keys()
            for key in new:
                _begin(p, key, state)
            if "momentum_buffer" in new:
                optimizer._unstarted.add(p)
        for p, before in self._state.items():
            state = optimizer.state[p]
            state.update((key, _refill(state.get(key), *saved)) for key, saved in before.items())


def _copy(entry: Any) -> Any:
    return entry.detach().clone() if isinstance(entry, Tensor) else entry


def _begin(p: Tensor, key: str, state: State) -> None:
    """Make a new entry what it is before the first step."""
    if isinstance(state[key], Tensor):
        state[key].copy_(p.detach().resolve_neg()) if key == MASTER else state[key].zero_()


def _refill(now: object, entry: Any, value: Any) -> Any:
    """An entry with its old value: in the tensor that is there now, if it fits, because a graph may know that one."""
    if not isinstance(entry, Tensor):
        return value
    form = entry.dtype, entry.shape, entry.device
    if isinstance(now, Tensor) and (now.dtype, now.shape, now.device) == form:
        entry = now
    return entry.copy_(value)
