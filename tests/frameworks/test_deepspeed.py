"""Engines that make a step of their own at the start: a stand-in that does what theirs do.

The fp16 wrappers of DeepSpeed (`initialize_optimizer_states`) and Megatron before it loads a distributed checkpoint
(`_init_optimizer_states_with_dummy_values`) give every parameter a gradient of zeros and call ``step()`` at whatever
rate stands in the groups, so that the optimizer makes its state.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.frameworks.installed import need

torch = need("torch")

from torch import Tensor, nn  # noqa: E402

import lrdsl  # noqa: E402
from tests.frameworks.pasting import paste  # noqa: E402
from tests.optim.peers import BACKENDS, KINDS, fingerprint  # noqa: E402

TEXT = "linear(20, from=1x, to=0.1x)"


class Engine:
    """Makes the state at once, and clears gradients after every step."""

    def __init__(self, model: nn.Module, optimizer: Any) -> None:
        self.optimizer = optimizer
        for p in model.parameters():
            p.grad = torch.zeros_like(p)
        optimizer.step()
        optimizer.zero_grad()

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def step(self) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad()


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(7, 5)


def batches() -> list[Tensor]:
    return [torch.randn(3, 7, generator=torch.Generator().manual_seed(step)) for step in range(6)]


def loss(net: nn.Module, batch: Tensor) -> Tensor:
    return net(batch).square().mean()


def train(net: nn.Module, optimizer: Any) -> str:
    for batch in batches():
        loss(net, batch).backward()
        optimizer.step()
        optimizer.zero_grad()
    return fingerprint(optimizer)


@pytest.mark.works(
    "DeepSpeed", "a first step of the engine under `rehearsal()`, 0 difference (stand-in for the engine)"
)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_under_a_rehearsal(kind: str, backend: str) -> None:
    prints = []
    for engine in (True, False):
        net = model()
        optimizer = KINDS[kind].ours(net.parameters(), schedule=TEXT, backend=backend)
        if engine:
            with optimizer.rehearsal():
                Engine(net, optimizer)
        else:
            optimizer.init_state()
        prints.append(train(net, optimizer))
    assert prints[0] == prints[1]


@pytest.mark.works("DeepSpeed", "`set_clock(0)` after a first step of the engine (stand-in for the engine)")
def test_page() -> None:
    names = paste("deepspeed.md", model=model(), batches=batches(), loss_of=loss, initialize=Engine)
    optimizer = names["optimizer"]
    rates = lrdsl.compile("warmup(500) >> cosine(10000, to=0.1x)", base_lr=3e-4).lrs(range(6))
    used = optimizer.lr_history()
    assert (list(used["step"][-6:]), list(used["lr"][-6:])) == ([*range(6)], list(rates)) and optimizer.clock == 6


def test_without_a_word_the_curve_is_one_step_ahead() -> None:
    """Why the page asks for it: the step cannot be told from a real one."""
    net = model()
    optimizer = lrdsl.AdamW(net.parameters(), schedule=TEXT)
    Engine(net, optimizer)
    assert optimizer.clock == 1
