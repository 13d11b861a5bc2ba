"""The update in plain torch, for what the native step cannot do: slower, but the same schedule and the same rule."""

from collections.abc import Iterable, MutableMapping, Sequence
from itertools import chain
from operator import is_

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from lrdsl.optim.batch import Batch
from lrdsl.optim.distributed import Reach, local
from lrdsl.optim.groups import Group
from lrdsl.optim.hypers import Hyper, Hypers
from lrdsl.optim.moments import State, master_of
from lrdsl.optim.neighbours import MEASURE, ZERO, Control, norm_of
from lrdsl.optim.rules import Rules
from lrdsl.optim.tensors import CPU, opmath


class PythonStep:
    """Parameter by parameter, with the operations of torch's own loop."""

    name = "python"
    outdated = False
    device = CPU
    remote = False

    def __init__(self, rules: Rules, batch: Batch, hypers: Hypers, control: Control) -> None:
        self._update = rules.update
        self._batch = batch
        self._hypers = hypers
        self._control = control
        self._state: MutableMapping[Tensor, State] = {}
        self._unstarted: set[Tensor] = set()
        self._held: list[object] = []

    def stale(self, state: MutableMapping[Tensor, State]) -> bool:
        """Whether tensors of the state were replaced by hand."""
        found = list(chain.from_iterable(map(dict.values, state.values())))
        return len(found) != len(self._held) or not all(map(is_, found, self._held))

    def catch_up(self, indices: Iterable[int], unstarted: set[Tensor]) -> None:
        """All is known here."""

    def missing(self) -> Sequence[int]:
        """All that have a gradient."""
        return self._batch.active

    def forget(self) -> None:
        """Nothing is kept."""

    def resting(self) -> list[int]:
        """Nothing is kept."""
        return []

    def plan(
        self,
        grads: Sequence[Tensor],
        resting: Sequence[int],
        state: MutableMapping[Tensor, State],
        unstarted: set[Tensor],
    ) -> None:
        """Get ready for the parameters that have a gradient now."""
        self._state, self._unstarted = state, unstarted
        self._held = list(chain.from_iterable(map(dict.values, state.values())))

    def holds(self, param_groups: list[Group]) -> bool:
        """Whether these are still the groups, with the same parameters."""
        return self._batch.holds(param_groups)

    def measure_at_once(self) -> bool:
        """Gradients have to be collected first."""
        return False

    def run_at_once(self) -> None:
        """Gradients have to be collected first."""

    def stepped(self) -> Sequence[int]:
        """Which parameters the last update was for."""
        return self._batch.active

    def measure(self, grads: Sequence[Tensor]) -> None:
        """Only find the norm."""
        self._batch.check_gradients(grads)
        self._control.norm = norm_of(grads, self._control.scale)

    def share_norm(self, reach: Reach) -> None:
        """The norm just measured is that of a part."""
        self._control.norm = reach.norm(self._control.norm)

    @torch.no_grad()
    def run(self, grads: Sequence[Tensor]) -> bool:
        """Apply one update, unless it is to be skipped; say whether it was applied."""
        self._batch.check_gradients(grads)  # torch would find out in the middle of the update
        control = self._control
        if control.flags & MEASURE:
            control.norm = norm_of(grads, control.scale)
        if applied := not control.vetoed:
            self._apply(grads)
        else:
            control.skipped += 1
        if control.flags & ZERO:
            for grad in grads:
                grad.zero_()
        return applied

    def _apply(self, grads: Sequence[Tensor]) -> None:
        hypers = [Hyper(*row) for row in self._hypers.table.tolist()]
        scale, factor = self._control.scale, self._control.factor
        batch = self._batch
        for index, grad in zip(batch.active, grads, strict=True):
            p, started = batch.locals[index], batch.params[index] not in self._unstarted
            whole = self._state.get(batch.params[index], {})
            state = {key: local(tensor) for key, tensor in whole.items()} if batch.spread else whole
            grad = grad.to(opmath(p))
            grad = grad if scale is None else grad / scale
            grad = grad if factor is None else grad * factor
            # In low precision the update runs on float32, and the parameter is rounded once.
            master = master_of(p, state)
            wide = p.to(opmath(p)) if master is None else master
            self._update(wide, grad, state, hypers[batch.groups[index]], started)
            if wide is not p:
                p.copy_(wide.to(p.dtype))  # torch 2.13 forgets the negative bit of float16 when it casts here
            if batch.spread:
                whole |= {key: state[key] for key in ("step",) if key in state}  # it may be a new tensor
                increment_version(batch.params[index])
