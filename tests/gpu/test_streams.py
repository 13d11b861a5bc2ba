"""Streams, threads, devices, and running the same twice."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from torch.nn import Parameter  # noqa: E402

import lrdsl  # noqa: E402
from tests.devices import CUDA, Device, Gradients, bits, everything, members  # noqa: E402
from tests.optim.peers import KINDS, parameters  # noqa: E402

SHAPES = [(1000, 33), (3,), (257,), (0,)]
TEXT = "warmup(5) >> cosine(100, min=0.1x) | plateau(patience=3, factor=0.9, metric=grad_norm)"


def made(device: Device, seed: int = 0, kind: str = "adamw") -> tuple[Any, Gradients]:
    params = device.parameters(parameters(SHAPES, seed=seed))
    return KINDS[kind].ours(params, backend=device.backend, schedule=TEXT), Gradients([params], seed)


def reference(seed: int, steps: int, kind: str = "adamw") -> Any:
    params = parameters(SHAPES, seed=seed)
    optimizer, gradients = KINDS[kind].ours(params, backend="native", schedule=TEXT), Gradients([params], seed)
    for step in range(steps):
        gradients.into(step)
        optimizer.step()
    return bits(optimizer)


def test_another_stream(device: Device) -> None:
    with device.stream():
        optimizer, gradients = made(device)
        for step in range(40):
            gradients.into(step)
            optimizer.step()
    assert bits(optimizer) == reference(0, 40)
    assert optimizer.clock == 40


def test_one_stream_after_the_other(device: Device) -> None:
    """Whoever changes streams orders them, as with anything of torch's."""
    optimizer, gradients = made(device)
    for step in range(40):
        with ExitStack() as stack:
            if step % 3:
                stack.enter_context(device.stream())
            gradients.into(step)
            optimizer.step()
    assert bits(optimizer) == reference(0, 40)


def test_several_optimizers_on_several_streams(device: Device) -> None:
    sides = [made(device, seed, kind) for seed, kind in enumerate(("adamw", "nesterov", "amsgrad", "sgd"))]
    device.synchronize()
    streams = [torch.cuda.Stream() if device.real else None for _ in sides]
    for step in range(60):
        for (optimizer, gradients), stream in zip(sides, streams, strict=True):
            with ExitStack() as stack:
                if stream is not None:
                    stack.enter_context(torch.cuda.stream(stream))
                gradients.into(step)
                optimizer.step()
    device.synchronize()
    for seed, (kind, (optimizer, _)) in enumerate(zip(("adamw", "nesterov", "amsgrad", "sgd"), sides, strict=True)):
        assert bits(optimizer) == reference(seed, 60, kind)


def test_threads(device: Device) -> None:
    sides = [made(device, seed) for seed in range(8)]
    device.synchronize()

    def run(side: tuple[Any, Gradients]) -> Any:
        optimizer, gradients = side
        with device.stream():
            for step in range(25):
                gradients.into(step)
                optimizer.step()
        device.synchronize()
        return bits(optimizer)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, sides)) == [reference(seed, 25) for seed in range(8)]


def test_a_capture_on_a_side_stream(device: Device) -> None:
    optimizer, gradients = made(device)
    optimizer.init_state()
    gradients.into(0)
    stream = torch.cuda.Stream() if device.real else None
    device.synchronize()
    replay = device.capture(optimizer.step, optimizer, stream=stream)
    for step in range(30):
        gradients.into(step)
        replay()
    optimizer.sync()
    assert bits(optimizer) == reference(0, 30)


@pytest.mark.parametrize("kind", ["adamw", "momentum"])
def test_the_same_five_times(device: Device, kind: str) -> None:
    seen = set()
    for _ in range(5):
        params = device.parameters(parameters(SHAPES))
        optimizer = KINDS[kind].ours(params, backend=device.backend, schedule=TEXT, max_grad_norm=0.5)
        gradients = Gradients([params])
        for step in range(30):
            gradients.into(step)
            optimizer.step()
        seen.add(everything(optimizer))
    assert len(seen) == 1


# --- what only CUDA has ---------------------------------------------------------------------------------------------


@pytest.fixture
def gpu() -> Device:
    if why := CUDA.obstacle():
        pytest.skip(why)
    return CUDA


@pytest.mark.gpu
def test_several_devices(gpu: Device) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip(f"not run: needs two CUDA devices, there is {torch.cuda.device_count()}")
    sides = []
    for index in range(2):
        params = [Parameter(p.detach().to(f"cuda:{index}")) for p in parameters(SHAPES)]
        sides.append((KINDS["adamw"].ours(params, backend="native", schedule=TEXT), Gradients([params])))
    for step in range(30):
        for optimizer, gradients in sides:
            gradients.into(step)
            optimizer.step()
    assert torch.cuda.current_device() == 0
    for optimizer, _ in sides:
        assert bits(optimizer) == reference(0, 30)


@pytest.mark.gpu
def test_devices_in_one_optimizer(gpu: Device) -> None:
    """Here the second is the CPU: no fused step, and it is said."""
    params = [Parameter(torch.ones(3)), Parameter(torch.ones(3, device=gpu.place))]
    optimizer = lrdsl.AdamW(params, lr=0.1)
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert "a fused step runs on one device" in optimizer.doctor()["why"]
    assert torch.equal(params[0], params[1].cpu())
    with pytest.raises(RuntimeError, match="a fused step runs on one device"):
        lrdsl.AdamW(params, lr=0.1, backend="native")


@pytest.mark.gpu
def test_to_a_device_with_state(gpu: Device) -> None:
    """``model.to`` moves parameters in place, and the state follows."""
    models = []
    for _ in range(2):
        torch.manual_seed(0)
        models.append(torch.nn.Linear(5, 4))
    ours, stays = (lrdsl.AdamW(m.parameters(), lr=0.1, schedule="linear(20)") for m in models)
    for step in range(10):
        if step == 5:
            models[0].to(gpu.place)
            for p in models[0].parameters():
                p.grad = None
                for key, value in ours.state[p].items():
                    ours.state[p][key] = value.to(gpu.place)
        torch.manual_seed(step)
        for p, q in zip(members(ours), members(stays), strict=True):
            q.grad = torch.randn(q.shape)
            p.grad = q.grad.to(p.device)
        ours.step()
        stays.step()
    assert bits(ours) == bits(stays) and ours.clock == 10
    assert ours.doctor()["backend"] == "cuda"


@pytest.mark.gpu
def test_from_the_cpu_and_back(gpu: Device) -> None:
    """A checkpoint of one is one of the other."""
    params = parameters(SHAPES)
    optimizer, gradients = KINDS["adamw"].ours(params, backend="native", schedule=TEXT), Gradients([params])
    for leg in range(4):
        for step in range(leg * 5, leg * 5 + 5):
            gradients.into(step)
            optimizer.step()
        saved = optimizer.state_dict()
        place = gpu.place if leg % 2 == 0 else torch.device("cpu")
        params = [Parameter(p.detach().to(place)) for p in members(optimizer)]
        optimizer = KINDS["adamw"].ours(params, backend="native", schedule=TEXT)
        optimizer.load_state_dict(saved)
        gradients = Gradients([params])
    assert bits(optimizer) == reference(0, 20)


@pytest.mark.gpu
def test_beside_a_compiled_model(gpu: Device) -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(8, 4).to(gpu.place)
    optimizer = lrdsl.AdamW(model.parameters(), lr=0.1, schedule="cosine(100)", backend="native")
    compiled = torch.compile(model, backend="eager")
    inputs = torch.randn(6, 8, device=gpu.place)
    losses = []
    for _ in range(50):
        optimizer.zero_grad()
        loss = compiled(inputs).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    assert optimizer.clock == 50 and losses[-1] < losses[0] / 2
    torch._dynamo.reset()


FORKED = """
import multiprocessing, sys, torch, lrdsl
p = torch.nn.Parameter(torch.ones(3, device="cuda"))
p.grad = torch.ones_like(p)
optimizer = lrdsl.AdamW([p], schedule="linear(10)")
optimizer.step()
optimizer.sync()
def child():
    try:
        optimizer.step()
        optimizer.sync()
    except RuntimeError as error:
        sys.exit(7)
run = multiprocessing.get_context("fork").Process(target=child)
run.start()
run.join(60)
print(run.exitcode)
run.kill()
optimizer.step()
print(optimizer.clock)
"""


@pytest.mark.gpu
def test_after_a_fork(gpu: Device) -> None:
    """CUDA does not survive one: an error in the child, and the parent goes on."""
    environment = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=180, env=environment, check=False
    )
    assert done.stdout.split() == ["7", "2"], done.stderr
