"""Wrappers that make a class of themselves and the optimizer that they hold."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

import lrdsl  # noqa: E402
from tests.optim.peers import parameters  # noqa: E402


class Wrapper:
    """Passes for the optimizer that it holds, as Lightning's and Fabric's do."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer_within = optimizer
        self.__class__ = type(f"Wrapped{type(optimizer).__name__}", (Wrapper, type(optimizer)), {})

    @property
    def optimizer(self) -> Any:
        return self.optimizer_within

    def step(self) -> None:
        self.optimizer.step()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.optimizer_within, name)


def wrapped() -> tuple[Any, Any]:
    (p,) = parameters([(3,)])
    p.grad = torch.ones(3)
    optimizer = lrdsl.SGD([p], lr=1.0, schedule="linear(10) | plateau(patience=0, factor=0.5)")
    return Wrapper(optimizer), optimizer


def test_a_wrapper_is_the_optimizer_within() -> None:
    wrapper, optimizer = wrapped()
    assert isinstance(wrapper, lrdsl.SGD)
    wrapper.step()
    wrapper.step()
    wrapper.set_clock(5)
    assert (wrapper.clock, optimizer.clock, optimizer.param_groups[0]["lr"]) == (5, 5, 0.5)
    for report in (1.0, 2.0):
        wrapper.observe(report)
    assert optimizer.param_groups[0]["lr"] == 0.25
    wrapper.reschedule("hold()")
    wrapper.add_param_group({"params": parameters([(2,)]), "lr": 0.5})
    wrapper.load_state_dict(wrapper.state_dict())
    with wrapper.rehearsal():
        wrapper.step()
    wrapper.step()
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 0.5]
    assert wrapper.clock == optimizer.clock == 6
    assert wrapper.as_scheduler().optimizer is optimizer
    assert set(vars(wrapper)) == {"optimizer_within"}


def test_other_bases_are_left_alone() -> None:
    class Noting:
        notes = 0

        def step(self, closure: Any = None) -> Any:
            self.notes += 1
            return super().step(closure)  # type: ignore[misc]

    class Mine(Noting, lrdsl.SGD):
        pass

    (p,) = parameters([(3,)])
    optimizer = Mine([p], lr=1.0, schedule="linear(10)")
    p.grad = torch.ones(3)
    optimizer.step()
    assert (optimizer.notes, optimizer.clock) == (1, 1)
