"""The parameters of an optimizer, and the gradients of one step."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, repeat
from operator import attrgetter, is_, itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrdsl.optim.distributed import is_spread, local
from lrdsl.optim.groups import Group, named_parameters
from lrdsl.optim.tensors import check_gradient, check_parameters

Layouts = tuple[Any, list[object], Any]

_parameters = itemgetter("params")
_gradient = attrgetter("grad")
_form: Callable[[Tensor], object] = attrgetter("shape", "dtype", "device")


def _is_special(grad: Tensor) -> bool:
    return grad.is_neg() or grad.is_inference()


class Batch:
    """What one step touches, checked again only where something that is compared has changed.

    Gradients come and go between steps, so none is kept. An allocator hands the address of one to another of a
    different layout, so that addresses of gradients prove nothing and may change freely. What is compared: address,
    strides, shape, dtype, device and negative bit of every parameter, and the inference mode; strides, shape, dtype,
    device, negative bit and inference of every gradient, which ``grad.data = ...`` changes unseen.

    Attributes:
        param_groups: The groups it was made for.
        names: What messages call each parameter.
        params: All parameters, group by group.
        locals: The part of each that lies in this process; gradients and addresses are of these.
        spread: Whether there are other parts.
        groups: The group index of each.
        active: Indices of the parameters that have a gradient.
        pointers: Addresses of those gradients.
        moved: Whether a parameter differs from the last `accept`.
        changed: Whether anything does, or other parameters have a gradient.
        fresh: Those of the active parameters whose gradient is not laid out as it was, index by index.
    """

    def __init__(self, param_groups: list[Group]) -> None:
        self.param_groups = param_groups
        self._held_groups = list(param_groups)
        self._named = named_parameters(param_groups)
        self.names = [name for name, _ in self._named]
        self.params = [p for _, p in self._named]
        self.spread = any(map(is_spread, self.params))
        self.locals = self.params
        self.groups = [index for index, group in enumerate(param_groups) for _ in group["params"]]
        self.active: Sequence[int] = ()
        self.pointers = np.zeros(0, np.uint64)
        self.moved = self.changed = True
        self.fresh: list[int] = []
        self._all = range(len(self.params))
        self._places: object = None
        self._layouts: Layouts = (True, [], False)
        self._accepted: tuple[object, ...] = ()
        self._known: dict[int, object] = {}

    def holds(self, param_groups: list[Group]) -> bool:
        """Whether these are still the groups, with the same parameters."""
        if len(param_groups) != len(self._held_groups) or not all(map(is_, param_groups, self._held_groups)):
            return False
        if sum(map(len, map(_parameters, param_groups))) != len(self.params):
            return False
        return all(map(is_, chain.from_iterable(map(_parameters, param_groups)), self.params))

    def forget(self) -> None:
        """Check everything anew."""
        self._accepted = ()

    def check_parameters(self) -> None:
        """Raise unless every parameter can be stepped."""
        check_parameters(self._named)

    def collect(self) -> list[Tensor]:
        """The gradients there are; of spread ones the part that lies in this process.

        Raises:
            TypeError, ValueError: Something cannot be stepped; the message names the parameter.
        """
        found = list(map(_gradient, self.params))  # once: another thread may take gradients away meanwhile
        if self.spread:
            self.locals, found = list(map(local, self.params)), self._local_gradients(found)
        params = self.locals
        grads = [grad for grad in found if grad is not None]
        complete = len(grads) == len(params)
        self.active = self._all if complete else [i for i, grad in enumerate(found) if grad is not None]
        try:
            addresses, forms = list(map(Tensor.data_ptr, params)), list(map(_form, params))
            negative, mode = list(map(Tensor.is_neg, params)), torch.is_inference_mode_enabled()
            self._places = addresses, list(map(Tensor.stride, params)), forms, negative, mode
            special = any(map(_is_special, grads)) and [(grad.is_neg(), grad.is_inference()) for grad in grads]
            strides = all(map(Tensor.is_contiguous, grads)) or list(map(Tensor.stride, grads))
            self._layouts = strides, list(map(_form, grads)), special
            self.pointers = np.fromiter(map(Tensor.data_ptr, grads), np.uint64, len(grads))
        except RuntimeError:  # sparse tensors have neither address nor strides
            self.check_parameters()
            self.check_gradients(grads)
            raise
        found_now = (self._places, self.active, self._layouts)
        self.changed = found_now != self._accepted
        if self.changed:
            self._look_closer(grads)
        if not self.pointers.all():
            self._check_memory(grads)
        return grads

    def _local_gradients(self, grads: list[Tensor | None]) -> list[Tensor | None]:
        for name, p, grad in zip(self.names, self.params, grads, strict=True):
            if grad is not None:
                check_gradient(name, p, grad)
        return [None if grad is None else local(grad) for grad in grads]

    def _look_closer(self, grads: list[Tensor]) -> None:
        """Check what is new."""
        self.moved = not self._accepted or self._places != self._accepted[0]
        if self.moved:
            self.check_parameters()
            self._known = {}
            self._accepted = ()
        known = self._known
        self.fresh = []
        for index, layout, grad in zip(self.active, self._each(), grads, strict=True):
            if index not in known or known[index] != layout:
                self.fresh.append(index)
                check_gradient(self.names[index], self.locals[index], grad)

    def _each(self) -> Iterable[object]:
        strides, forms, special = self._layouts
        count = len(forms)
        strides = repeat(True, count) if strides is True else strides
        return zip(strides, forms, special or repeat(False, count), strict=True)

    def _check_memory(self, grads: list[Tensor]) -> None:
        for index, grad, pointer in zip(self.active, grads, self.pointers, strict=True):
            if not pointer and grad.numel():
                check_gradient(self.names[index], self.locals[index], grad)  # a meta tensor has none either
                raise ValueError(f"gradient of {self.names[index]} has no memory: its storage was freed")

    def check_gradients(self, grads: Iterable[Tensor]) -> None:
        """Raise unless these gradients fit the active parameters."""
        for index, grad in zip(self.active, grads, strict=True):
            check_gradient(self.names[index], self.locals[index], grad)

    def accept(self) -> None:
        """What was just collected has been planned for."""
        self._accepted = (self._places, self.active, self._layouts)
        fresh = set(self.fresh)
        self._known.update((i, layout) for i, layout in zip(self.active, self._each(), strict=True) if i in fresh)
        self.moved = self.changed = False
        self.fresh = []
