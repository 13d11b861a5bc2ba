"""Somebody else writes where the adapter writes: an error that changes nothing. And all that only looks like it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from torch.optim import lr_scheduler as torchs  # noqa: E402

import lrdsl  # noqa: E402
from tests.optim.peers import fingerprint, parameters  # noqa: E402
from tests.optim.test_state_dict import through_a_file  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:no `loss` was reported")
TEXT = "linear(10) | plateau(patience=0)"


@pytest.fixture(params=[False, True], ids=["float", "tensor"])
def base(request: pytest.FixtureRequest) -> Any:
    return torch.tensor(0.5) if request.param else 0.5


def made(base: Any, text: str = TEXT, clock: int = 0, **options: Any) -> tuple[Any, Any]:
    """An optimizer and its scheduler after so many steps."""
    optimizer = torch.optim.SGD(parameters([(3,)]), lr=base, foreach=False, **options)
    scheduler = lrdsl.LRScheduler(optimizer, text)
    run(optimizer, scheduler, clock)
    return optimizer, scheduler


def run(optimizer: Any, scheduler: Any, steps: int) -> None:
    for _ in range(steps):
        optimizer.step()
        scheduler.step()


def refused(optimizer: Any, scheduler: Any, message: str = "group 0: lr is .*, but this scheduler wrote") -> None:
    """The step raises, again and again, and leaves everything as it is."""
    before = [fingerprint(optimizer), scheduler.state_dict(), scheduler.get_last_lr()]
    for call in (scheduler.step, lambda: scheduler.step(1.0)):
        with pytest.raises(RuntimeError, match=message):
            call()
        assert [fingerprint(optimizer), scheduler.state_dict(), scheduler.get_last_lr()] == before


# --- who else writes ------------------------------------------------------------------------------------------------


def test_the_sentence() -> None:
    optimizer, scheduler = made(0.001, "hold()", 3)
    optimizer.param_groups[0]["lr"] = 0.0005
    with pytest.raises(RuntimeError) as caught:
        scheduler.step()
    assert str(caught.value) == (
        "group 0: lr is 0.0005, but this scheduler wrote 0.001: another scheduler or code writes lr. Remove it, or "
        "write it into the text (`a * b` multiplies schedules, `| plateau(...)` cuts on a metric)"
    )


OTHERS: dict[str, Callable[[Any], Any]] = {
    "ExponentialLR": lambda o: torchs.ExponentialLR(o, 0.5),
    "LambdaLR": lambda o: torchs.LambdaLR(o, lambda step: 1 / (1 + step)),
    "CosineAnnealingLR": lambda o: torchs.CosineAnnealingLR(o, 7),
    "a second of ours": lambda o: lrdsl.LRScheduler(o, "cosine(10)"),
}


@pytest.mark.parametrize("first", [False, True], ids=["made after", "made before"])
@pytest.mark.parametrize("name", OTHERS)
def test_another_scheduler(name: str, first: bool, base: Any) -> None:
    optimizer = torch.optim.SGD(parameters([(3,)]), lr=base, foreach=False)
    other = OTHERS[name](optimizer) if first else None
    scheduler = lrdsl.LRScheduler(optimizer, TEXT)
    other = other or OTHERS[name](optimizer)
    optimizer.step()
    other.step()
    refused(optimizer, scheduler)


def test_torchs_plateau(base: Any) -> None:
    optimizer, scheduler = made(base)
    plateau = torchs.ReduceLROnPlateau(optimizer, patience=0)
    for _ in range(2):
        run(optimizer, scheduler, 1)
        plateau.step(1.0)
    refused(optimizer, scheduler)


@pytest.mark.parametrize("clock", [0, 5, 30])
def test_code(clock: int, base: Any) -> None:
    """A warm-up by hand, and what cannot even be compared."""
    for write in (
        lambda group: group.update(lr=0.123),
        lambda group: group.update(lr=torch.tensor(0.123)),
        lambda group: group.update(lr=torch.tensor([0.1, 0.2])),
        lambda group: group.update(lr="0.1"),
        lambda group: group.update(lr=float("nan")),
    ):
        optimizer, scheduler = made(base if isinstance(base, float) else base.clone(), clock=clock)
        kept = optimizer.param_groups[0]["lr"]
        write(optimizer.param_groups[0])
        refused(optimizer, scheduler)
        optimizer.param_groups[0]["lr"] = kept
        run(optimizer, scheduler, 2)
        assert scheduler.last_epoch == clock + 2


def test_code_that_writes_into_the_tensor() -> None:
    rate = torch.tensor(0.5)
    optimizer, scheduler = made(rate, clock=3)
    rate.mul_(0.5)
    refused(optimizer, scheduler, r"group 0: lr is 0\.17.*, but this scheduler wrote 0\.35")
    rate.mul_(2)
    run(optimizer, scheduler, 1)


def test_other_values_too() -> None:
    optimizer, scheduler = made(0.5, "lr = linear(10); momentum = linear(20); weight_decay = hold()", 2, momentum=0.9)
    optimizer.param_groups[0]["momentum"] = 0.5
    refused(optimizer, scheduler, r"group 0: momentum is 0\.5, but .* code writes momentum\. Remove")
    adam = torch.optim.AdamW(parameters([(3,)]), lr=0.5)
    scheduler = lrdsl.LRScheduler(adam, "beta1 = linear(10, to=0.8)")
    adam.param_groups[0]["betas"] = (adam.param_groups[0]["betas"][0], 0.95)
    adam.param_groups[0]["lr"] = 0.25
    run(adam, scheduler, 1)  # neither of them is governed
    adam.param_groups[0]["betas"] = (0.5, 0.95)
    refused(adam, scheduler, r"group 0: beta1 is 0\.5")


def test_the_group_is_named() -> None:
    params = parameters([(3,), (4,)])
    optimizer = torch.optim.SGD([{"params": [p]} for p in params], lr=0.5)
    scheduler = lrdsl.LRScheduler(optimizer, TEXT)
    optimizer.param_groups[1]["lr"] = 0.25
    refused(optimizer, scheduler, "group 1: lr is 0.25")


def test_a_chain_multiplies_what_it_finds(base: Any) -> None:
    """torch's chain has each scheduler go on from what the one before wrote; a product belongs into the text."""
    for members in (("ours", "theirs"), ("theirs", "ours")):
        optimizer = torch.optim.SGD(parameters([(3,)]), lr=base, foreach=False)
        make = {
            "ours": lambda o: lrdsl.LRScheduler(o, "linear(10)"),
            "theirs": lambda o: torchs.ExponentialLR(o, 0.9),
        }
        chain = torchs.ChainedScheduler([make[member](optimizer) for member in members])
        with pytest.raises(RuntimeError, match="`a \\* b` multiplies schedules"):
            run(optimizer, chain, 2)
    ours, scheduler = made(1.0, "linear(10) * exponential(0.9)", 4)
    theirs = torch.optim.SGD(parameters([(3,)]), lr=1.0)
    chain = torchs.ChainedScheduler([torchs.LinearLR(theirs, 1.0, 1e-12, 10), torchs.ExponentialLR(theirs, 0.9)])
    run(theirs, chain, 4)
    assert scheduler.get_last_lr() == pytest.approx(chain.get_last_lr(), rel=1e-9)
    assert ours.param_groups[0]["lr"] == scheduler.get_last_lr()[0]


# --- what only looks like it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "copied", [float, lambda rate: torch.tensor(float(rate)), lambda rate: torch.tensor([float(rate)])], ids=range(3)
)
def test_equal_copies(copied: Any, base: Any) -> None:
    optimizer, scheduler = made(base, clock=3)
    (group,) = optimizer.param_groups
    group["lr"] = copied(group["lr"])
    run(optimizer, scheduler, 2)
    assert scheduler.last_epoch == 5
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].copy_(group["lr"].clone())
        run(optimizer, scheduler, 1)


def test_a_phantom_step(base: Any) -> None:
    """As torch.distributed.checkpoint makes it, to have state: rates of 0, a step, the rates back."""
    optimizer, scheduler = made(base, clock=3)
    group = optimizer.param_groups[0]
    kept = group["lr"]
    group["lr"] = torch.tensor(0.0) if isinstance(kept, torch.Tensor) else 0.0
    optimizer.step()
    group["lr"] = kept
    run(optimizer, scheduler, 2)
    assert scheduler.last_epoch == 5


def test_distributed_checkpoint(base: Any) -> None:
    """The real one, over a fresh optimizer and over one that runs."""
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

    def fresh() -> tuple[Any, Any, Any]:
        torch.manual_seed(0)
        net = torch.nn.Linear(3, 1)
        rate = base.clone() if isinstance(base, torch.Tensor) else base
        optimizer = torch.optim.AdamW(net.parameters(), lr=rate)
        return net, optimizer, lrdsl.LRScheduler(optimizer, TEXT)

    def step(net: Any, optimizer: Any, scheduler: Any) -> None:
        optimizer.zero_grad()
        net(torch.ones(2, 3)).sum().backward()
        optimizer.step()
        scheduler.step()

    first, again = fresh(), fresh()
    get_optimizer_state_dict(*first[:2])
    for _ in range(4):
        step(*first)
    saved = copy.deepcopy([get_optimizer_state_dict(*first[:2]), first[2].state_dict(), first[0].state_dict()])
    set_optimizer_state_dict(*again[:2], saved[0])
    again[2].load_state_dict(saved[1])
    again[0].load_state_dict(saved[2])
    for side in (first, again):
        step(*side)
        step(*side)
    assert again[2].get_last_lr() == first[2].get_last_lr()
    assert all(map(torch.equal, again[0].parameters(), first[0].parameters()))


def test_the_epoch_may_be_moved(base: Any) -> None:
    optimizer, scheduler = made(base, clock=3)
    optimizer.param_groups[0]["lr"] = 0.123
    scheduler.last_epoch = 6
    run(optimizer, scheduler, 2)
    assert scheduler.last_epoch == 8
    optimizer.param_groups[0]["lr"] = 0.123
    scheduler._update_lr(2)  # as SequentialLR does at a milestone
    assert scheduler.get_last_lr() == [0.4]
    run(optimizer, scheduler, 1)


@pytest.mark.parametrize("order", ["optimizer first", "scheduler first", "optimizer alone", "scheduler alone"])
def test_a_load(order: str, base: Any) -> None:
    optimizer, scheduler = made(base, clock=7)
    states = through_a_file([optimizer.state_dict(), scheduler.state_dict()])
    again, its = made(torch.tensor(0.5) if isinstance(base, torch.Tensor) else 0.5, clock=2)
    if order == "scheduler first":
        its.load_state_dict(states[1])
    if order != "scheduler alone":
        again.load_state_dict(states[0])
    if order in ("optimizer first", "scheduler alone"):
        its.load_state_dict(states[1])
    run(again, its, 1)
    if order == "optimizer alone":
        assert its.last_epoch == 3
    else:
        run(optimizer, scheduler, 1)
        assert its.get_last_lr() == scheduler.get_last_lr() and its.state_dict() == scheduler.state_dict()
    again.param_groups[0]["lr"] = 0.123
    refused(again, its)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["deepcopy", "pickle"])
def test_copies(clone: Any, base: Any) -> None:
    optimizer, scheduler = made(base, clock=3)
    twin = clone(scheduler)
    run(optimizer, scheduler, 1)
    run(twin.optimizer, twin, 1)
    assert twin.get_last_lr() == scheduler.get_last_lr()
    twin.optimizer.param_groups[0]["lr"] = 0.123
    refused(twin.optimizer, twin)
    run(optimizer, scheduler, 1)


def test_one_whose_work_another_took_over() -> None:
    """The new one may begin, whatever it finds; the old one must not go on."""
    optimizer, old = made(0.5, clock=3)
    new = lrdsl.LRScheduler(optimizer, "cosine(20)")
    run(optimizer, new, 2)
    refused(optimizer, old)
    run(optimizer, new, 2)


def test_nested_sequences() -> None:
    """A sequence un-steps and resets what it is given, an outer one does so again."""
    ours, theirs = (torch.optim.SGD(parameters([(3,)]), lr=1.0) for _ in range(2))
    for optimizer in (ours, theirs):  # else an inner sequence warns that it is stepped before its optimizer
        torchs.ConstantLR(optimizer, 1.0)
        optimizer.step()
    inner = torchs.SequentialLR(
        ours, [lrdsl.LRScheduler(ours, "linear(3, from=0.5x, to=1x)"), lrdsl.LRScheduler(ours, "exponential(0.9)")], [3]
    )
    outer = torchs.SequentialLR(ours, [inner, lrdsl.LRScheduler(ours, "cosine(8)")], [6])
    parts = [torchs.LinearLR(theirs, 0.5, 1.0, 3), torchs.ExponentialLR(theirs, 0.9)]
    torchs_own = torchs.SequentialLR(
        theirs, [torchs.SequentialLR(theirs, parts, [3]), torchs.CosineAnnealingLR(theirs, 8)], [6]
    )
    for _ in range(14):
        run(ours, outer, 1)
        run(theirs, torchs_own, 1)
        assert outer.get_last_lr() == pytest.approx(torchs_own.get_last_lr(), rel=1e-12)
    ours.param_groups[0]["lr"] = 0.123
    with pytest.raises(RuntimeError, match="another scheduler or code writes lr"):
        outer.step()


def test_only_the_one_in_force_writes_on_a_report() -> None:
    """The one that waits hears of the metric, and cuts when it is its turn; so does one that has had it."""
    optimizer = torch.optim.SGD(parameters([(3,)]), lr=1.0)
    parts = [lrdsl.LRScheduler(optimizer, f"hold() | plateau(patience=0, factor={k})") for k in (0.3, 0.5)]
    sequence = torchs.SequentialLR(optimizer, parts, [4])
    seen = []
    for step in range(8):
        if step in (1, 2):
            parts[1].observe(1.0)
        if step in (5, 6, 7):
            parts[0].observe(1.0)
        seen.append(optimizer.param_groups[0]["lr"])
        run(optimizer, sequence, 1)
    assert seen == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5]
    parts[1].observe(1.0)
    assert optimizer.param_groups[0]["lr"] == 0.25
    saved = through_a_file(sequence.state_dict())
    sequence.load_state_dict(saved)
    parts[0].observe(1.0)
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_a_report_between_does_not_hide_another_writer() -> None:
    optimizer, scheduler = made(0.5, clock=3)
    optimizer.param_groups[0]["lr"] = 0.123
    scheduler.observe(1.0)
    assert optimizer.param_groups[0]["lr"] == 0.123
    refused(optimizer, scheduler)


def test_a_device_tensor_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer, scheduler = made(torch.tensor(0.5), clock=2)
    for name in ("item", "tolist", "__float__", "__bool__", "numpy", "cpu"):
        monkeypatch.setattr(torch.Tensor, name, lambda *_: pytest.fail("read"))
    run(optimizer, scheduler, 2)
    scheduler.observe(1.0)


def test_a_shared_tensor_is_one_tensor() -> None:
    rate = torch.tensor(0.5)
    params = parameters([(3,), (4,)])
    optimizer = torch.optim.SGD([{"params": [p], "lr": rate} for p in params], foreach=False)
    scheduler = lrdsl.LRScheduler(optimizer, TEXT)
    run(optimizer, scheduler, 3)
    rate.fill_(0.25)
    refused(optimizer, scheduler)


@pytest.mark.parametrize("kind", [torch.optim.SGD, lrdsl.SGD])
def test_only_the_optimizer_is_loaded(kind: Any, base: Any) -> None:
    # Weights and moments of an old run, another schedule from its start: nobody else writes.
    old = kind(parameters([(3,)]), lr=base)
    run(old, lrdsl.LRScheduler(old, TEXT), 3)
    optimizer = kind(parameters([(3,)]), lr=torch.tensor(0.5) if isinstance(base, torch.Tensor) else base)
    scheduler = lrdsl.LRScheduler(optimizer, "warmup(4) >> linear(8)")
    optimizer.load_state_dict(through_a_file(old.state_dict()))
    run(optimizer, scheduler, 2)
    assert [float(optimizer.param_groups[0]["lr"]), scheduler.last_epoch] == [0.25, 2]
    optimizer.param_groups[0]["lr"] = 0.1
    with pytest.raises(RuntimeError, match="another scheduler"):
        scheduler.step()
