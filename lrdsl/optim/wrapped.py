"""Wrappers that pass for the optimizer within: what they do not do themselves, that optimizer does."""

from typing import Any


def forward(cls: type, optimizer: type) -> None:
    """Have a wrapper's class pass on what it would inherit from an optimizer's.

    Lightning and its Fabric make a class of wrapper and optimizer, so that ``isinstance`` finds either, but no state: a
    method of ours that ran on such an object would write the clock there, and step by the one within.

    Args:
        cls: The new class. Left alone unless a base that is no optimizer has ``optimizer`` and ``__getattr__``.
        optimizer: The class of all optimizers.
    """
    others = [base for base in cls.__bases__ if not issubclass(base, optimizer)]
    wrapper = next((base for base in others if hasattr(base, "optimizer") and hasattr(base, "__getattr__")), None)
    if wrapper is None:
        return
    for name in dir(cls):
        if not name.startswith("__") and not hasattr(wrapper, name):
            setattr(cls, name, _passed_on(name))


def _passed_on(name: str) -> Any:
    return property(lambda self: getattr(self.optimizer, name))
