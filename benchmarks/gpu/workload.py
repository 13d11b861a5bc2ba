"""Parameters on a device, and the optimizers that are compared over them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch

import lrdsl
from benchmarks.gpu.device import GIB, Device
from benchmarks.gpu.turns import Call
from benchmarks.peers import TEXT, dealt, gradients, sequential_lr, stepped
from benchmarks.shapes import Shape, count, gpt2, llama3_8b, resnet50, shard, vit_b16

RATE = 3e-4
ELSEWHERE: dict[str, tuple[str, dict[str, Any]]] = {
    "apex FusedAdam": ("apex.optimizers", {"capturable": True, "master_weights": True}),
    "TransformerEngine FusedAdam": ("transformer_engine.pytorch.optimizers", {"master_weights": True}),
}
"""Optimizers with masters of their own: where from, and how they are asked for them."""
SMALL, LARGE = "ResNet-50", "Llama-3-8B shard"


def models(device: Device) -> dict[str, list[Shape]]:
    """What is stepped. The shard is an eighth of every tensor, on small cards a sixteenth."""
    ranks = 8 if device.memory >= 60 * GIB else 16
    return {
        "ResNet-50": resnet50(),
        "ViT-B/16": vit_b16(),
        "GPT-2 124M": gpt2(),
        LARGE: shard(llama3_8b(), ranks),
    }


class Workload:
    """Shapes in groups. Peers have parameters of their own, and share the gradients to save memory.

    Args:
        device: Where.
        shapes: Of the parameters.
        groups: How many, dealt in turn.
        dtype: Of the parameters; bfloat16 ones are stepped in float32.
        own_gradients: Whether every peer has its own, because it writes to them.
    """

    def __init__(
        self,
        device: Device,
        shapes: Sequence[Shape],
        groups: int = 1,
        dtype: torch.dtype = torch.float32,
        own_gradients: bool = False,
    ) -> None:
        self.device, self.dtype = device, dtype
        self.shapes, self.groups = device.shapes(shapes), device.groups(groups)
        self.gradients = self._random()
        self._own = own_gradients

    def _random(self) -> list[torch.Tensor]:
        generator = torch.Generator(self.device.place).manual_seed(0)
        return [
            torch.randn(shape, generator=generator, device=self.device.place).to(self.dtype) for shape in self.shapes
        ]

    @property
    def facts(self) -> dict[str, int]:
        """How large it is."""
        return {"tensors": len(self.shapes), "parameters": count(self.shapes), "groups": self.groups}

    def parameters(self) -> list[torch.nn.Parameter]:
        """New ones, with gradients."""
        made = [torch.nn.Parameter(values) for values in self._random()]
        for parameter, gradient in zip(made, self.gradients, strict=True):
            parameter.grad = gradient.clone() if self._own else gradient
        return made

    def lrdsl(
        self,
        made: list[torch.nn.Parameter] | None = None,
        *,
        kind: type[lrdsl.SGD] | type[lrdsl.AdamW] = lrdsl.AdamW,
        schedule: str | None = TEXT,
        **options: Any,
    ) -> Any:
        """Our optimizer."""
        groups = dealt(self.parameters() if made is None else made, self.groups)
        return kind(groups, lr=RATE, schedule=schedule, backend=self.device.backend, **options)

    def torch_groups(self, made: list[torch.nn.Parameter], tensor_rate: bool = False) -> list[dict[str, Any]]:
        """Groups, each with a rate of its own on the device if a graph is to see it move."""
        groups = dealt(made, self.groups)
        rates = [torch.tensor(RATE, device=self.device.place) if tensor_rate else RATE for _ in groups]
        return [{**group, "lr": rate} for group, rate in zip(groups, rates, strict=True)]

    def torch_step(
        self,
        made: list[torch.nn.Parameter] | None = None,
        *,
        graph: bool = False,
        scheduled: bool = True,
        **kind: Any,
    ) -> Call:
        """torch's AdamW and the scheduler that says what our text says, replayed as a graph or not.

        The scheduler is Python, so it stays outside the graph, and writes the rates that the graph reads.
        """
        masters = Masters(self.parameters() if made is None else made)
        groups = self.torch_groups(masters.stepped, tensor_rate=graph)
        opt = torch.optim.AdamW(groups, lr=RATE, capturable=graph and self.device.captures, **kind)
        scheduler = sequential_lr(opt) if scheduled else None

        def update() -> None:
            masters.take_gradients()
            opt.step()
            masters.give_back()

        call = self.device.captured(update) if graph else update

        def step() -> None:
            call()
            if scheduler is not None:
                scheduler.step()

        return step

    def elsewhere(self) -> tuple[dict[str, Call], dict[str, str]]:
        """Other projects' optimizers with masters, as far as they are here, and why the others are not."""
        there, absent = {}, {}
        for name, (module, options) in ELSEWHERE.items():
            try:
                kind = import_module(module).FusedAdam
                opt = kind(dealt(self.parameters(), self.groups), lr=RATE, weight_decay=1e-2, **options)
                step = stepped(opt, sequential_lr(opt))
                step()
            except Exception as error:  # theirs, of whatever kind: a peer less is no reason to stop
                absent[name] = f"{type(error).__name__}: {error}"
            else:
                there[name] = step
        return there, absent


class Masters:
    """What people do who train in low precision with torch: float32 copies, which are stepped, and copying both ways.

    Where the parameters are float32 they are stepped themselves, and nothing is copied.
    """

    def __init__(self, made: list[torch.nn.Parameter]) -> None:
        self.made = self.stepped = made
        self._copied = made[0].dtype != torch.float32
        if self._copied:
            self.stepped = [torch.nn.Parameter(p.detach().float()) for p in made]
            for master in self.stepped:
                master.grad = torch.zeros_like(master)
        self._own, self._upcast = gradients(self.made), gradients(self.stepped)
        self._values, self._sources = ([p.detach() for p in side] for side in (self.made, self.stepped))

    def take_gradients(self) -> None:
        """Cast them."""
        if self._copied:
            torch._foreach_copy_(self._upcast, self._own)

    def give_back(self) -> None:
        """Round the parameters."""
        if self._copied:
            torch._foreach_copy_(self._values, self._sources)

    def zero(self) -> None:
        """What ``zero_grad(set_to_none=False)`` leaves."""
        torch._foreach_zero_(self._own)
