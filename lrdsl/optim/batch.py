"""The parameters of an optimizer, and the gradients of one step."""

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import attrgetter, is_, itemgetter

import numpy as np
from torch import Tensor

from lrdsl.optim.groups import Group, named_parameters
from lrdsl.optim.tensors import check_gradient, check_parameters

_parameters = itemgetter("params")
_size = attrgetter("nbytes")


class Batch:
    """What one step touches, checked again only where something that is compared has changed.

    Gradients come and go between steps, so none is kept. An allocator hands the address of one to another of a
    different layout, so that addresses of gradients prove nothing and may change freely. What is compared: address
    and size of every parameter, layout and size of every gradient (torch itself keeps their shapes equal).

    Attributes:
        names: What messages call each parameter.
        params: All parameters, group by group.
        groups: The group index of each.
        active: Indices of the parameters that have a gradient.
        pointers: Addresses of those gradients.
        changed: Whether anything compared differs from the last `accept`.
    """

    def __init__(self, param_groups: list[Group]) -> None:
        self._param_groups = list(param_groups)
        self._named = named_parameters(param_groups)
        self.names = [name for name, _ in self._named]
        self.params = [p for _, p in self._named]
        self.groups = [index for index, group in enumerate(param_groups) for _ in group["params"]]
        self.active: Sequence[int] = ()
        self.pointers = np.zeros(0, np.uint64)
        self.changed = True
        self._all = range(len(self.params))
        self._found: object = None
        self._accepted: object = None

    def holds(self, param_groups: list[Group]) -> bool:
        """Whether these are still the groups, with the same parameters."""
        if len(param_groups) != len(self._param_groups) or not all(map(is_, param_groups, self._param_groups)):
            return False
        if sum(map(len, map(_parameters, param_groups))) != len(self.params):
            return False
        return all(map(is_, chain.from_iterable(map(_parameters, param_groups)), self.params))

    def check_parameters(self) -> None:
        """Raise unless every parameter can be stepped."""
        check_parameters(self._named)

    def collect(self) -> list[Tensor]:
        """The gradients there are.

        Raises:
            TypeError, ValueError: Something cannot be stepped; the message names the parameter.
        """
        params = self.params
        grads = [grad for p in params if (grad := p.grad) is not None]
        complete = len(grads) == len(params)
        self.active = self._all if complete else [i for i, p in enumerate(params) if p.grad is not None]
        try:
            addresses, sizes = list(map(Tensor.data_ptr, params)), list(map(_size, params))
            layout = all(map(Tensor.is_contiguous, grads)) or list(map(Tensor.stride, grads))
            self._found = (self.active, addresses, sizes, layout, list(map(_size, grads)))
            self.pointers = np.fromiter(map(Tensor.data_ptr, grads), np.uint64, len(grads))
        except RuntimeError:  # sparse tensors have neither address nor strides
            self._check(grads)
            raise
        self.changed = self._found != self._accepted
        if self.changed:
            self._check(grads)
        return grads

    def check_gradients(self, grads: Iterable[Tensor]) -> None:
        """Raise unless these gradients fit the active parameters."""
        for index, grad in zip(self.active, grads, strict=True):
            check_gradient(self.names[index], self.params[index], grad)

    def accept(self) -> None:
        """What was just collected has been planned for."""
        self._accepted = self._found

    def _check(self, grads: list[Tensor]) -> None:
        self.check_parameters()
        self.check_gradients(grads)
