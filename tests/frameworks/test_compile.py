"""`torch.compile`: a training step with the optimizer outside and inside; the adapter beside a compiled optimizer."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.frameworks.installed import need
from tests.frameworks.pasting import paste

torch = need("torch")

import torch._dynamo  # noqa: E402, F811
from torch._dynamo.utils import counters  # noqa: E402

import lrdsl  # noqa: E402
from tests.optim.peers import STEPS  # noqa: E402

pytestmark = pytest.mark.filterwarnings("error:(?s).*[Dd]ynamo")

TEXT = "warmup(100) >> cosine(800, to=0.1x) >> hold()"
MANY = 1000
SGD, ADAMW = ("SGD", {"lr": 0.05, "momentum": 0.9}), ("AdamW", {"lr": 0.01, "weight_decay": 0.1})


class Compiled:
    """What the compiler did since the test began."""

    def __init__(self) -> None:
        self.logged: list[str] = []

    @property
    def graphs(self) -> int:
        return int(counters["stats"]["unique_graphs"])

    @property
    def resumed(self) -> int:
        """Functions that go on after a break, one for each break with something after it."""
        return sum(counters["resumes"].values())

    @property
    def breaks(self) -> Counter[str]:
        """Why it broke, in the first line of each reason."""
        told: Counter[str] = Counter()
        for reason, count in counters["graph_break"].items():
            told[reason.splitlines()[0]] += count
        return told


@pytest.fixture
def compiled() -> Iterator[Compiled]:
    """From here on: a new compiler, which must not warn."""
    torch._dynamo.reset()
    counters.clear()
    seen = Compiled()
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: seen.logged.append(record.getMessage())  # type: ignore[method-assign]
    handler.addFilter(lambda record: "Profiler record function" not in record.getMessage())  # of torch's own step
    logger = logging.getLogger("torch._dynamo")
    logger.addHandler(handler)
    yield seen
    logger.removeHandler(handler)
    torch._dynamo.reset()
    assert seen.logged == []


@pytest.fixture(params=[False, True], ids=["float", "tensor"])
def tensor(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def model() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))


def batch(step: int) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(step % 10)
    x = torch.randn(16, 4, generator=generator)
    return x, x.sum(1, keepdim=True).sin()


def groups_of(net: Any, lr: float, tensor: bool) -> list[dict[str, Any]]:
    """Two groups with their own rates."""
    rates = [torch.tensor(rate) if tensor else rate for rate in (lr, lr / 2)]
    return [{"params": net[i].parameters(), "lr": rate} for i, rate in zip((0, 2), rates, strict=True)]


def ours(kind: tuple[str, dict[str, Any]], net: Any, tensor: bool = False, **more: Any) -> Any:
    name, options = kind
    groups = groups_of(net, options["lr"], tensor)
    return getattr(lrdsl, name)(groups, **options | {"schedule": TEXT} | more)


def weights(net: Any) -> list[Any]:
    return [p.detach() for p in net.parameters()]


def recompiles_are_errors() -> Any:
    return torch._dynamo.config.patch(error_on_recompile=True)


# --- the optimizers of this library ---------------------------------------------------------------------------------


def training_step(net: Any, optimizer: Any) -> Callable[[Any, Any], Any]:
    """What a user compiles: all of it."""

    def train(x: Any, y: Any) -> Any:
        loss = (net(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return train


@pytest.mark.works("torch.compile", "`opt.step()` outside the compiled function")
@pytest.mark.parametrize("kind", [SGD, ADAMW], ids=["sgd", "adamw"])
def test_outside(kind: Any, tensor: bool, compiled: Compiled) -> None:
    """One graph of the model; the weights are those of the same model that is not compiled."""
    nets = [model(), model()]
    calls = [torch.compile(nets[0], backend="eager"), nets[1]]
    optimizers = [ours(kind, net, tensor) for net in nets]
    with recompiles_are_errors():
        for step in range(200):
            x, y = batch(step)
            for call, optimizer in zip(calls, optimizers, strict=True):
                (call(x) - y).square().mean().backward()
                optimizer.step()
                optimizer.zero_grad()
    assert (compiled.graphs, compiled.resumed, +compiled.breaks) == (1, 0, {})
    assert all(map(torch.equal, *map(weights, nets))) and optimizers[0].clock == 200


@pytest.mark.works("torch.compile", "`opt.step()` inside, as one graph break")
@pytest.mark.works("torch.compile", "0 recompiles in 1000 steps as the rate moves")
@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", [SGD, ADAMW], ids=["sgd", "adamw"])
def test_inside(kind: Any, backend: str, tensor: bool, compiled: Compiled) -> None:
    """A graph before the step, one after it, and nothing compiled anew while the rate moves."""
    many = MANY if backend == "native" and kind is ADAMW else 20
    nets = [model(), model()]
    optimizers = [ours(kind, net, tensor, backend=backend) for net in nets]

    def around(net: Any, optimizer: Any, x: Any) -> Any:
        doubled = x * 2
        optimizer.step()
        return doubled + net(x)

    call = torch.compile(around, backend="eager")
    with recompiles_are_errors():
        for step in range(many):
            x, y = batch(step)
            for net, optimizer in zip(nets, optimizers, strict=True):
                optimizer.zero_grad()
                (net(x) - y).square().mean().backward()
            x = x.detach()
            got = call(nets[0], optimizers[0], x)
            assert torch.equal(got, around(nets[1], optimizers[1], x))
    assert (compiled.graphs, compiled.resumed) == (2, 1)
    assert set(compiled.breaks) == {"Skip inlining `torch.compiler.disable()`d function"}
    assert all(map(torch.equal, *map(weights, nets))) and optimizers[0].clock == many


def test_the_whole_training_step(compiled: Compiled) -> None:
    """torch itself breaks at `backward` and at `zero_grad`; the third break is ours."""
    nets = [model(), model()]
    optimizers = [ours(ADAMW, net) for net in nets]
    steps = [training_step(net, optimizer) for net, optimizer in zip(nets, optimizers, strict=True)]
    steps[0] = torch.compile(steps[0], backend="aot_eager")
    with recompiles_are_errors():
        for step in range(60):
            assert torch.equal(*(train(*batch(step)) for train in steps))
    assert compiled.resumed == 3
    assert all(map(torch.equal, *map(weights, nets)))
    assert optimizers[0].lr_history().tolist() == optimizers[1].lr_history().tolist()


def test_what_else_is_inside(compiled: Compiled) -> None:
    """A closure, a report, hooks: run as they are, and counted once each."""
    nets = [model(), model()]
    text = "hold() | plateau(patience=0, factor=0.5)"
    optimizers = [ours(ADAMW, net, schedule=text) for net in nets]
    heard: list[str] = []
    optimizers[0].register_step_pre_hook(lambda *_: heard.append("before"))
    optimizers[0].register_step_post_hook(lambda *_: heard.append("after"))
    x, y = batch(0)

    def around(net: Any, optimizer: Any) -> Any:
        def closure() -> Any:
            optimizer.zero_grad()
            loss = (net(x) - y).square().mean()
            loss.backward()
            return loss

        loss = optimizer.step(closure)
        optimizer.observe(loss + 1.0)
        return loss.detach() * 2

    call = torch.compile(around, backend="eager")
    with recompiles_are_errors():
        for _ in range(20):
            assert torch.equal(call(nets[0], optimizers[0]), around(nets[1], optimizers[1]))
    assert heard == ["before", "after"] * 20
    assert all(map(torch.equal, *map(weights, nets)))
    assert optimizers[0].state_dict()["param_groups"][0]["lr"] == optimizers[1].param_groups[0]["lr"]


def test_two_optimizers_of_one_process(compiled: Compiled) -> None:
    """Each compiled function has its own; after the first call of each nothing is compiled anew."""
    first, second = model(), model()
    makes = {"a": (first, ours(SGD, first)), "b": (second, ours(ADAMW, second))}
    calls = {name: torch.compile(training_step(*made), backend="eager") for name, made in makes.items()}
    for call in calls.values():
        call(*batch(0))
    with recompiles_are_errors():
        for step in range(1, 30):
            for call in calls.values():
                call(*batch(step))
    assert [optimizer.clock for _, optimizer in makes.values()] == [30, 30]


def test_another_writer_is_still_refused(compiled: Compiled) -> None:
    net = model()
    optimizer = ours(SGD, net)
    call = torch.compile(training_step(net, optimizer), backend="eager")
    call(*batch(0))
    optimizer.param_groups[0]["lr"] = 0.123
    with pytest.raises(RuntimeError, match=r"group 0: lr is 0\.123, but this optimizer's schedule says"):
        call(*batch(1))
    assert optimizer.clock == 1


@pytest.mark.parametrize("what", ["step", "observe", "the scheduler's step", "the adapter's step"])
def test_no_break_allowed(what: str) -> None:
    """One sentence that says what to write instead; nothing has run."""
    net = model()
    optimizer = ours(SGD, net, schedule="hold() | plateau()")
    other = torch.optim.SGD(net.parameters(), lr=0.1)
    methods = {
        "step": optimizer.step,
        "observe": lambda: optimizer.observe(1.0),
        "the scheduler's step": optimizer.as_scheduler().step,
        "the adapter's step": lrdsl.LRScheduler(other, TEXT).step,
    }
    call = torch.compile(lambda: methods[what](), backend="eager", fullgraph=True)
    with pytest.raises(torch._dynamo.exc.Unsupported, match="call it after the compiled function, or drop fullgraph"):
        call()
    assert optimizer.clock == 0


def test_the_compiler_is_not_loaded_before_it_is_needed() -> None:
    """Torch loads it when the first optimizer is made, and it takes longer than everything else."""
    code = (
        "import sys, lrdsl; lrdsl.SGD, lrdsl.LRScheduler; print('torch' in sys.modules, 'torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


@pytest.mark.slow
def test_inductor(compiled: Compiled) -> None:
    net = model()
    optimizer = ours(ADAMW, net)
    train = torch.compile(training_step(net, optimizer))
    first = train(*batch(0))
    with recompiles_are_errors():
        for step in range(1, 300):
            last = train(*batch(step))
    assert optimizer.clock == 300 and last < first / 2


# --- the adapter beside a compiled optimizer of torch ---------------------------------------------------------------


class ByHand(torch.optim.lr_scheduler.LRScheduler):
    """The rates of the curve, without the adapter."""

    def get_lr(self) -> list[float]:
        return [lrdsl.compile(TEXT, base_lr=float(base)).lr(self.last_epoch) for base in self.base_lrs]


RATE = ADAMW[1]["lr"]


def beside(scheduler_of: Callable[[Any], Any], tensor: bool, steps: int, compiled: bool = True) -> list[Any]:
    """The weights after a run of torch's optimizer."""
    net = model()
    optimizer = torch.optim.AdamW(groups_of(net, RATE, tensor))
    scheduler = scheduler_of(optimizer)
    update = torch.compile(optimizer.step, backend="eager") if compiled else optimizer.step
    for step in range(steps):
        x, y = batch(step)
        optimizer.zero_grad()
        (net(x) - y).square().mean().backward()
        update()
        scheduler.step()
    assert [float(rate) for rate in scheduler.get_last_lr()] == pytest.approx(ByHand.get_lr(scheduler), rel=1e-7)
    return weights(net)


def adapter(optimizer: Any) -> Any:
    return lrdsl.LRScheduler(optimizer, TEXT)


@pytest.mark.works("torch.compile", "adapter, tensor rate: 1 graph, 0 recompiles")
def test_the_adapter_with_tensor_rates(compiled: Compiled) -> None:
    """A rate that is filled, and never replaced, is an input of the graph."""
    with recompiles_are_errors():
        beside(adapter, True, MANY)
        assert compiled.graphs == 1
    short = []
    for one in (adapter, ByHand):
        torch._dynamo.reset()
        short.append(beside(one, True, 40))
    assert all(map(torch.equal, *short))
    for p, q in zip(short[0], beside(adapter, True, 40, compiled=False), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)  # torch's graph rounds otherwise than its eager step


def test_the_adapter_with_float_rates(compiled: Compiled) -> None:
    """torch compiles for the first numbers, then once for any number."""
    ours = beside(adapter, False, 40)
    assert compiled.graphs == 2
    torch._dynamo.reset()
    assert all(map(torch.equal, ours, beside(ByHand, False, 40)))


def test_the_adapter_inside(compiled: Compiled) -> None:
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=torch.tensor(0.5))
    scheduler = lrdsl.LRScheduler(optimizer, "linear(50) | plateau(patience=1000)")

    def both(x: Any) -> Any:
        optimizer.step()
        scheduler.observe(1.0)
        scheduler.step()
        return x + 1

    call = torch.compile(both, backend="eager")
    net(batch(0)[0]).sum().backward()
    call(torch.zeros(2))
    with recompiles_are_errors():
        for _ in range(30):
            call(torch.zeros(2))
    assert scheduler.last_epoch == 31 and scheduler.get_last_lr() == [scheduler.schedules[0].lr(31)]


# --- the page -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [0, 1])
def test_the_page(index: int, compiled: Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))  # inductor takes its time
    net = model()
    before = [p.clone() for p in weights(net)]
    paste("compile.md", index, model=net, loader=[batch(step) for step in range(20)])
    assert not any(map(torch.equal, weights(net), before)) and compiled.graphs == 1


def test_the_scheduler_is_made_first() -> None:
    """What the page warns of is what torch warns of."""
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=torch.tensor(0.1))
    update = torch.compile(optimizer.step, backend="eager")
    scheduler = lrdsl.LRScheduler(optimizer, TEXT)
    update()
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        scheduler.step()
