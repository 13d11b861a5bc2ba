"""Whatever an optimizer makes for itself is where it has to be, whichever device is torch's default."""

from __future__ import annotations

import copy
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from lrdsl.evaluators import native  # noqa: E402
from lrdsl.optim import torch_abi  # noqa: E402
from tests.optim.matrix import bits  # noqa: E402
from tests.optim.peers import KINDS, needs_native, parameters  # noqa: E402

TEXT = "lr = linear(9) | plateau(patience=0, metric=grad_norm) | plateau(metric=loss)"


@pytest.fixture
def nowhere() -> Any:
    """By default tensors have no memory, so that whoever reads one fails."""
    with torch.device("meta"):
        yield


def life(kind: str, backend: str, params: Any) -> Any:
    """What an optimizer can do, but for what torch itself makes on its default device."""
    optimizer = KINDS[kind].ours(params, backend=backend, schedule=TEXT, max_grad_norm=1.0)
    optimizer.init_state()
    for step in range(4):
        for p, grad in zip(params, GRADS, strict=True):
            p.grad = grad * (step + 1)
        optimizer.grad_scale, optimizer.found_inf = 2.0, float(step == 2)
        optimizer.observe(0.5 + step)
        optimizer.step()
        optimizer.param_groups[0]["lr"] = float(optimizer.param_groups[0]["lr"])  # equal: taken back
    with optimizer.rehearsal():
        optimizer.step()
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    optimizer.found_inf = None
    optimizer.step()
    assert optimizer.grad_norm.device.type == "cpu"
    return optimizer.clock, optimizer.skipped, optimizer.grad_norm.item(), bits(optimizer)


PARAMS = parameters([(33,), (4, 5)])
GRADS = [torch.linspace(-1, 1, p.numel(), device="cpu").view_as(p) for p in PARAMS]


@pytest.mark.parametrize("backend", ["python", *(pytest.param(b, marks=needs_native) for b in ("native", "emulated"))])
@pytest.mark.parametrize("kind", ["momentum", "adamw"])
def test_everything_works(kind: str, backend: str, nowhere: None) -> None:
    found = life(kind, backend, copy.deepcopy(PARAMS))
    with torch.device("cpu"):
        assert found == life(kind, backend, copy.deepcopy(PARAMS))


@needs_native
def test_the_walk_is_found(nowhere: None) -> None:
    module = native.extension()
    assert module is not None
    assert torch_abi.obstacle.__wrapped__(module) == ""
