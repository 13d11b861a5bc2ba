"""The parameters of an optimizer, and the gradients of one step."""

from array import array
from collections.abc import Collection, Sequence
from itertools import chain
from operator import attrgetter, is_, itemgetter
from typing import Any

from torch import Tensor

from lrdsl.optim.tensors import Named, check_gradient, check_parameters

Group = dict[str, Any]

_parameters = itemgetter("params")
_size = attrgetter("nbytes")


def named_parameters(groups: Sequence[Group]) -> list[Named]:
    """Every parameter with the name that messages use: its own if given, else group and index."""
    named: list[Named] = []
    for index, group in enumerate(groups):
        names = group.get("param_names") or [f"group {index}, parameter {i}" for i in range(len(group["params"]))]
        named += map(Named, names, group["params"])
    return named


def own_copy(group: object) -> Group:
    """A copy of what a user gave for a group, its parameters a list.

    Raises:
        TypeError: It is no dict.
        ValueError: It lists a parameter twice.
    """
    if not isinstance(group, dict):
        raise TypeError(f"expected a parameter group to be a dict, got {type(group).__name__}")
    copied = dict(group)
    if not isinstance(copied["params"], Tensor | set):  # torch wraps the one and refuses the other
        copied["params"] = list(copied["params"])
        tensors = [entry[1] if isinstance(entry, tuple) else entry for entry in copied["params"]]
        if len(set(map(id, tensors))) != len(tensors):
            raise ValueError("a parameter is listed twice in its group: list every parameter once")
    return copied


def settle(group: Group, options: Collection[str]) -> Group:
    """A copy of a group whose options are plain numbers, and whose rate is its own if it is a tensor."""
    settled = dict(group)
    for key in options:
        if isinstance(settled[key], Tensor):
            settled[key] = settled[key].item()
    if "betas" in settled:
        settled["betas"] = tuple(map(float, settled["betas"]))
    if isinstance(settled["lr"], Tensor):
        settled["lr"] = settled["lr"].detach().clone()  # a shared one would look like a foreign write
    return settled


class Batch:
    """What one step touches, checked again only where something that is compared has changed.

    Gradients come and go between steps, so none is kept: what is compared are addresses of parameters, strides and
    sizes of gradients. An allocator hands the address of one gradient to another of a different layout, so gradient
    addresses prove nothing and may change freely.

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
        self.pointers = array("Q")
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
            addresses = list(map(Tensor.data_ptr, params))
            self._found = (self.active, addresses, list(map(Tensor.stride, grads)), list(map(_size, grads)))
            self.pointers = array("Q", map(Tensor.data_ptr, grads))
        except RuntimeError:  # sparse tensors have neither address nor strides
            self._check(grads)
            raise
        self.changed = self._found != self._accepted
        if self.changed:
            self._check(grads)
        return grads

    def accept(self) -> None:
        """What was just collected has been planned for."""
        self._accepted = self._found

    def _check(self, grads: list[Tensor]) -> None:
        self.check_parameters()
        for index, grad in zip(self.active, grads, strict=True):
            check_gradient(self.names[index], self.params[index], grad)
