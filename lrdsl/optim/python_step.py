"""The update in plain torch, for what the native step cannot do: slower, but the same schedule and the same rule."""

from collections.abc import MutableMapping, Sequence
from itertools import chain
from operator import is_

import torch
from torch import Tensor

from lrdsl.optim.batch import Batch
from lrdsl.optim.hypers import Hyper, Hypers
from lrdsl.optim.moments import State
from lrdsl.optim.rules import Rules


class PythonStep:
    """Parameter by parameter, with the operations of torch's own loop."""

    name = "python"

    def __init__(self, rules: Rules, batch: Batch, hypers: Hypers) -> None:
        self._update = rules.update
        self._batch = batch
        self._hypers = hypers
        self._state: MutableMapping[Tensor, State] = {}
        self._unstarted: set[Tensor] = set()
        self._held: list[object] = []

    def stale(self, state: MutableMapping[Tensor, State]) -> bool:
        """Whether tensors of the state were replaced by hand."""
        found = list(chain.from_iterable(map(dict.values, state.values())))
        return len(found) != len(self._held) or not all(map(is_, found, self._held))

    def missing(self) -> Sequence[int]:
        """All that have a gradient."""
        return self._batch.active

    def forget(self) -> None:
        """Nothing is kept."""

    def plan(self, grads: Sequence[Tensor], state: MutableMapping[Tensor, State], unstarted: set[Tensor]) -> None:
        """Get ready for the parameters that have a gradient now."""
        self._state, self._unstarted = state, unstarted
        self._held = list(chain.from_iterable(map(dict.values, state.values())))

    @torch.no_grad()
    def run(self, grads: Sequence[Tensor]) -> None:
        """Apply one update."""
        self._batch.check_gradients(grads)  # torch would find out in the middle of the update
        hypers = [Hyper(*row) for row in self._hypers.table.tolist()]
        batch = self._batch
        for index, grad in zip(batch.active, grads, strict=True):
            p = batch.params[index]
            self._update(p, grad, self._state.get(p, {}), hypers[batch.groups[index]], p not in self._unstarted)
