"""Automatic mixed precision: training with `torch.amp.GradScaler` through real overflows, and with autocast alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.frameworks.installed import need
from tests.frameworks.pasting import paste

torch = need("torch")

import lrdsl  # noqa: E402
from tests.optim.test_state_dict import through_a_file  # noqa: E402

TEXT = "warmup(4) >> cosine(16, to=0.1x) >> hold()"
KINDS = {"sgd": ("SGD", {"lr": 0.05, "momentum": 0.9}), "adamw": ("AdamW", {"lr": 0.01})}
STEPS = 24


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["float", "tensor"])
def tensor(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def model() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))


def batch(step: int) -> tuple[Any, Any]:
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(step))
    return x, x.sum(1, keepdim=True).sin()


def ours(kind: str, net: Any, tensor: bool = False, **more: Any) -> Any:
    name, options = KINDS[kind]
    lr = torch.tensor(options["lr"]) if tensor else options["lr"]
    return getattr(lrdsl, name)(net.parameters(), **options | {"lr": lr, "schedule": TEXT} | more)


def scaler() -> Any:
    """Begins far too high, and grows soon, so that there are overflows early and late."""
    return torch.amp.GradScaler(
        "cpu", init_scale=2.0**26, growth_factor=2.0**6, backoff_factor=2.0**-5, growth_interval=5
    )


def loss_of(net: Any, step: int, dtype: Any = torch.float16) -> Any:
    x, y = batch(step)
    with torch.autocast("cpu", dtype=dtype):
        return (net(x) - y).square().mean()


def weights(net: Any) -> list[Any]:
    return [p.detach() for p in net.parameters()]


def curve(base: float) -> Iterator[float]:
    schedule = lrdsl.compile(TEXT, base_lr=base)
    return (schedule.lr(step) for step in range(10_000))


class Loop:
    """The loop of torch's documentation, and what it went through."""

    def __init__(self, optimizer_of: Callable[[Any], Any]) -> None:
        self.net = model()
        self.optimizer, self.scaler = optimizer_of(self.net), scaler()
        self.rates: list[float] = []
        self.scales: list[float] = []
        self.fell: list[bool] = []

    def run(self, steps: range, between: Callable[[Any, Any], None] = lambda *_: None) -> Loop:
        for step in steps:
            self.optimizer.zero_grad()
            scale = self.scaler.get_scale()
            self.scaler.scale(loss_of(self.net, step)).backward()
            between(self.scaler, self.optimizer)
            self.rates.append(float(self.optimizer.param_groups[0]["lr"]))
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.scales.append(scale)
            self.fell.append(self.scaler.get_scale() < scale)
        return self


def without_a_scaler(loop: Loop, kind: str, tensor: bool, clip: float | None = None) -> list[Any]:
    """The same run with the overflowing batches left out, and gradients divided by hand."""
    net = model()
    optimizer = ours(kind, net, tensor)
    for step, (scale, fell) in enumerate(zip(loop.scales, loop.fell, strict=True)):
        if fell:
            continue
        optimizer.zero_grad()
        (loss_of(net, step) * scale).backward()
        for p in net.parameters():
            p.grad /= scale
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
    return weights(net)


@pytest.mark.works("PyTorch AMP", "GradScaler: overflow skips the step and the clock")
def test_overflow(kind: str, tensor: bool) -> None:
    """Rates are those of applied updates, and the weights those of a run in which nothing overflowed."""
    loop = Loop(lambda net: ours(kind, net, tensor)).run(range(STEPS))
    applied = loop.fell.count(False)
    assert loop.fell[0] and any(loop.fell[8:]) and applied > 10, "overflow early and late"
    assert (loop.optimizer.clock, loop.optimizer.skipped) == (applied, STEPS - applied)
    base = KINDS[kind][1]["lr"]
    left = curve(float(torch.tensor(base)) if tensor else base)
    rate = next(left)
    for seen, fell in zip(loop.rates, loop.fell, strict=True):
        assert seen == (torch.tensor(rate).item() if tensor else rate)
        rate = rate if fell else next(left)
    assert all(map(torch.equal, weights(loop.net), without_a_scaler(loop, kind, tensor)))


@pytest.mark.works("PyTorch AMP", "GradScaler: resume at any step, 0 difference")
def test_resume(kind: str, tensor: bool) -> None:
    """Also right after an overflow, and in the middle of several."""
    loop = Loop(lambda net: ours(kind, net, tensor))
    saved = []
    for step in range(STEPS):
        parts = loop.net, loop.optimizer, loop.scaler
        saved.append(through_a_file([part.state_dict() for part in parts]))
        loop.run(range(step, step + 1))
    for step in (0, 1, loop.fell.index(False), STEPS - loop.fell[::-1].index(True), STEPS - 1):
        again = Loop(lambda net: ours(kind, net, tensor))
        for part, state in zip((again.net, again.optimizer, again.scaler), saved[step], strict=True):
            part.load_state_dict(state)
        again.run(range(step, STEPS))
        assert (again.rates, again.fell) == (loop.rates[step:], loop.fell[step:])
        assert all(map(torch.equal, weights(again.net), weights(loop.net))), f"resumed at {step}"
        assert again.optimizer.clock == loop.optimizer.clock


@pytest.mark.works("PyTorch AMP", "`unscale_` and `clip_grad_norm_`")
def test_unscale_and_clip(kind: str, tensor: bool) -> None:
    def clip(scaler: Any, optimizer: Any) -> None:
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 0.1)

    loop = Loop(lambda net: ours(kind, net, tensor)).run(range(STEPS), clip)
    assert loop.fell.count(False) == loop.optimizer.clock < STEPS
    assert all(map(torch.equal, weights(loop.net), without_a_scaler(loop, kind, tensor, clip=0.1)))


@pytest.mark.works("PyTorch AMP", "several optimizers under one GradScaler")
def test_several_optimizers() -> None:
    """Each counts its own updates; the one whose loss explodes is skipped alone."""
    nets = [model(), model()]
    optimizers = [ours(name, net) for name, net in zip(KINDS, nets, strict=True)]
    shared = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    for step in range(12):
        losses = [loss_of(net, step) for net in nets]
        if step in (3, 7):
            losses[1] = losses[1] * 1e30 * 1e30  # in float32, after autocast: inf
        for optimizer, loss in zip(optimizers, losses, strict=True):
            optimizer.zero_grad()
            shared.scale(loss).backward()
        for optimizer in optimizers:
            shared.step(optimizer)
        shared.update()
    assert [(o.clock, o.skipped) for o in optimizers] == [(12, 0), (10, 2)]
    for optimizer, (_, options) in zip(optimizers, KINDS.values(), strict=True):
        assert optimizer.param_groups[0]["lr"] == lrdsl.compile(TEXT, base_lr=options["lr"]).lr(optimizer.clock)


@pytest.mark.works("PyTorch AMP", "a refused step leaves nothing behind")
def test_a_refused_step(kind: str, tensor: bool) -> None:
    """Somebody else's rate is refused inside `scaler.step`; once it is put right, the run goes on as if nothing was."""
    steps = STEPS // 2
    plain = Loop(lambda net: ours(kind, net, tensor)).run(range(steps))

    def disturb(scaler: Any, optimizer: Any) -> None:
        (group,) = optimizer.param_groups
        kept, group["lr"] = group["lr"], 0.123
        for _ in range(2):
            with pytest.raises(RuntimeError, match=r"group 0: lr is 0\.123, but this optimizer's schedule says"):
                scaler.step(optimizer)
            assert not hasattr(optimizer, "grad_scale") and not hasattr(optimizer, "found_inf")
        group["lr"] = kept

    disturbed = Loop(lambda net: ours(kind, net, tensor)).run(range(steps), disturb)
    assert (disturbed.rates, disturbed.fell) == (plain.rates, plain.fell)
    assert all(map(torch.equal, weights(disturbed.net), weights(plain.net)))


@pytest.mark.works("PyTorch AMP", "autocast in bfloat16")
@pytest.mark.parametrize("low", [False, True], ids=["float32 weights", "bfloat16 weights"])
def test_autocast_alone(kind: str, low: bool) -> None:
    """No scaler: every step counts. With bfloat16 weights a master keeps the small updates."""
    nets = [model(), model()]
    first = ours(kind, nets[0].bfloat16() if low else nets[0], master_weights=low)
    name, options = KINDS[kind]
    second = getattr(torch.optim, name)(nets[1].parameters(), **options)
    beside = lrdsl.LRScheduler(second, TEXT)
    losses = []
    for step in range(STEPS):
        assert first.param_groups[0]["lr"] == second.param_groups[0]["lr"] == beside.get_last_lr()[0]
        for net, optimizer in zip(nets, (first, second), strict=True):
            optimizer.zero_grad()
            loss = loss_of(net, step, torch.bfloat16)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        beside.step()
    assert first.clock == STEPS
    for p, q in zip(weights(nets[0]), weights(nets[1]), strict=True):
        torch.testing.assert_close(p.float(), q, rtol=0.05, atol=0.02 if low else 1e-4)
    assert sum(losses[-4:]) < sum(losses[:4])


@pytest.mark.works("PyTorch AMP", "adapter, stepped unless the scale fell")
def test_the_adapter(kind: str) -> None:
    """Stepped as the page says, it gives the rates of an optimizer with a schedule; stepped always, it runs ahead."""
    name, options = KINDS[kind]

    def run(careful: bool) -> tuple[list[float], int]:
        loop = Loop(lambda net: getattr(torch.optim, name)(net.parameters(), **options))
        scheduler = lrdsl.LRScheduler(loop.optimizer, TEXT)
        for step in range(STEPS):
            loop.run(range(step, step + 1))
            if not (careful and loop.fell[-1]):
                scheduler.step()
        return loop.rates, scheduler.last_epoch

    inside = Loop(lambda net: ours(kind, net)).run(range(STEPS))
    assert run(careful=True) == (inside.rates, inside.optimizer.clock)
    with pytest.warns(UserWarning, match="before `optimizer.step"):  # torch sees that the first one was skipped
        rates, clock = run(careful=False)
    assert clock == STEPS and rates != inside.rates


@pytest.mark.parametrize("index", [0, 1])
def test_the_page(index: int) -> None:
    """The first batch overflows and counts in neither way; so does one in the middle."""
    net = model()
    before = [p.clone() for p in weights(net)]
    loader = [batch(step) for step in range(12)]
    for step in (0, 6):
        loader[step][0].mul_(1e6)
    names = paste("amp.md", index, model=net, loader=loader, device="cpu")
    assert (names["opt"].clock if index == 0 else names["sch"].last_epoch) == 10
    assert not any(map(torch.equal, weights(net), before)) and names["loss"].isfinite()
