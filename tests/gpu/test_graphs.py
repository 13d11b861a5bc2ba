"""Captured steps: one capture, many replays, with everything moving in between. Eager steps are the reference."""

from __future__ import annotations

import copy
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from torch.nn import Parameter  # noqa: E402

import lrdsl  # noqa: E402
from tests.devices import Device, Gradients, bits, everything  # noqa: E402
from tests.optim.peers import KINDS, parameters  # noqa: E402

SHAPES = [(17, 5), (3,), (257,), (0,)]
PLATEAU = "warmup(20) >> cosine(2000, min=0.01x) | plateau(patience=2, factor=0.9, metric=loss)"
MOVING = {
    "sgd": "lr = warmup(5) >> cosine(90, min=0.1x); weight_decay = expr(0.01 * mod(step, 3))",
    "momentum": PLATEAU,
    "nesterov": "lr = linear(50, to=0.1x); momentum = expr(where(mod(floor(step / 3), 2) < 1, 0.5, 0.8))",
    "adam": "lr = linear(70, to=0.1x); beta1 = expr(0.5 + 0.1 * mod(step, 3)); eps = expr(0.001 * (1 + mod(step, 2)))",
    "adamw": "lr = cosine(80, min=0.1x); weight_decay = linear(40, to=0.5x); beta2 = expr(0.9 + 0.01 * mod(step, 7))",
    "amsgrad": "hold() | plateau(patience=3, factor=0.8, metric=grad_norm)",
}
"""A schedule for every kind, of everything that it has."""


class Twins:
    """An optimizer whose steps are captured, and one that makes them one by one, with the same gradients and reports.

    Attributes:
        captured, eager: The optimizers.
        loss, found_inf: What both are fed through.
    """

    def __init__(
        self,
        device: Device,
        kind: str,
        schedule: str | None,
        *,
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
        **options: Any,
    ) -> None:
        self.device = device
        sides = [device.parameters(parameters(SHAPES, dtype, seed)) for _ in range(2)]
        self.captured, self.eager = (
            KINDS[kind].ours(split(side), backend=device.backend, schedule=schedule, **options) for side in sides
        )
        self.gradients = Gradients(sides, seed)
        self.loss = device.tensor(1.0)
        self.listens = schedule is not None and "metric=loss" in schedule

    @property
    def both(self) -> tuple[Any, Any]:
        return self.captured, self.eager

    def start(self) -> None:
        """Two steps, and a rest."""
        for step in range(2):
            self.gradients.into(step)
            for side in self.both:
                side.step()
        self.device.synchronize()

    def capture(self, reports: int = 0) -> Callable[[], object]:
        """The graph of a step of the captured one, after some reports."""

        def body() -> None:
            for _ in range(reports):
                self.captured.observe(self.loss)
            self.captured.step()

        return self.device.capture(body, self.captured)

    def assert_equal(self) -> None:
        self.captured.sync()
        self.eager.sync()
        assert bits(self.captured) == bits(self.eager)
        assert everything(self.captured) == everything(self.eager)


def split(params: list[Parameter]) -> list[dict[str, Any]]:
    """Two groups."""
    return [{"params": params[:2]}, {"params": params[2:], "weight_decay": 0.03}]


def loss_of(step: int) -> float:
    return 1.0 + (step * 7919 % 13) / 13 - step / 4000


@pytest.mark.parametrize("kind", MOVING)
def test_graph_equals_eager(device: Device, kind: str) -> None:
    twins = Twins(device, kind, MOVING[kind])
    twins.start()
    replay = twins.capture(reports=int(twins.listens))
    for step in range(device.amount(10_000 if kind in ("momentum", "adamw") else 1000, 1000)):
        twins.gradients.into(step)
        twins.loss.fill_(loss_of(step))
        replay()
        if twins.listens:
            twins.eager.observe(twins.loss)
        twins.eager.step()
    twins.assert_equal()


@pytest.mark.parametrize("options", [{"max_grad_norm": 0.5}, {"skip_nonfinite": True}, {"zero_grads": True}], ids=str)
def test_what_is_around_the_update(device: Device, options: dict[str, Any]) -> None:
    twins = Twins(device, "adamw", "cosine(200)", **options)
    twins.start()
    replay = twins.capture()
    for step in range(device.amount(1000, 100)):
        twins.gradients.into(step, factor=float("inf") if "skip_nonfinite" in options and step % 7 == 3 else 1.0)
        replay()
        twins.eager.step()
    twins.assert_equal()
    assert twins.captured.skipped == twins.eager.skipped
    assert bool(twins.captured.skipped) == ("skip_nonfinite" in options)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_dtypes(device: Device, dtype: torch.dtype) -> None:
    twins = Twins(device, "adamw", "cosine(200)", dtype=dtype, master_weights=dtype == torch.bfloat16)
    twins.start()
    replay = twins.capture()
    for step in range(device.amount(1000, 100)):
        twins.gradients.into(step)
        replay()
        twins.eager.step()
    twins.assert_equal()


def test_the_rate_moves_at_every_replay(device: Device) -> None:
    """And it is the schedule's: there is no other step in between, and nobody waits."""
    text, count = "warmup(10) >> cosine(2000, min=0.01x)", device.amount(2100, 300)
    p = device.parameters([torch.zeros(5)])
    optimizer = lrdsl.AdamW(p, lr=0.1, schedule=text, capturable=True, backend=device.backend)
    p[0].grad = torch.ones_like(p[0])
    optimizer.init_state()
    shown, log = optimizer.param_groups[0]["lr"], device.tensor([0.0] * count)
    place = shown.data_ptr()
    replay = device.capture(optimizer.step, optimizer)
    for step in range(count):
        log[step].copy_(shown)  # what the next update will use
        replay()
    optimizer.sync()
    schedule = lrdsl.compile(text, base_lr=0.1)
    expected = np.array([schedule.lr(step) for step in range(count)]).astype(np.float32)
    assert (log.cpu().numpy().view(np.uint32) == expected.view(np.uint32)).all()
    assert optimizer.param_groups[0]["lr"] is shown and shown.data_ptr() == place
    assert optimizer.clock == count and optimizer.state[p[0]]["step"].item() == count


def test_several_reports_before_one_update(device: Device) -> None:
    """Each counts, whether they are in one graph, in several, or not in any."""
    twins = Twins(device, "sgd", "hold() | plateau(patience=5, factor=0.9, metric=loss)")
    twins.start()
    thrice, once = twins.capture(reports=3), twins.capture()
    alone = device.capture(lambda: twins.captured.observe(twins.loss), twins.captured)
    for step in range(device.amount(1000, 120)):
        twins.gradients.into(step)
        twins.loss.fill_(loss_of(step))
        reports = step % 5
        if reports == 3:
            thrice()
        else:
            for k in range(reports):
                alone() if k else twins.captured.observe(twins.loss)
            once()
        for _ in range(reports):
            twins.eager.observe(twins.loss)
        twins.eager.step()
    twins.assert_equal()
    assert twins.captured.param_groups[0]["lr"] < 0.1 * 0.9**3, "the reports were heard"


# --- what happens between replays -----------------------------------------------------------------------------------


def _load(twins: Twins, random: Random) -> None:
    """Each from its own checkpoint, made there and then and a little wrong on purpose."""
    for side in twins.both:
        saved = copy.deepcopy(side.state_dict())
        for state in saved["state"].values():
            if "step" in state:
                state["step"] += 3
        side.load_state_dict(saved)


def _decay(twins: Twins, random: Random) -> None:
    value = random.random() / 10
    for side in twins.both:
        side.param_groups[1]["weight_decay"] = value
    twins.captured.sync()


def _clock(twins: Twins, random: Random) -> None:
    step = random.randrange(2000)
    for side in twins.both:
        side.set_clock(step)


def _reschedule(twins: Twins, random: Random) -> None:
    text = random.choice([PLATEAU, "cosine(500, min=0.1x) | plateau(patience=1, factor=0.7, metric=loss)"])
    if hasattr(lrdsl.SGD, "reschedule"):
        for side in twins.both:
            side.reschedule(text)


def _eager_step(twins: Twins, random: Random) -> None:
    """Beside the replays, with gradients elsewhere in memory for once."""
    for side in twins.both:
        owned = [p for group in side.param_groups for p in group["params"]]
        before = [p.grad for p in owned]
        for p in owned:
            p.grad = p.grad * 0.5
        side.step()
        for p, grad in zip(owned, before, strict=True):
            p.grad = grad


def _number(twins: Twins, random: Random) -> None:
    value = random.random()
    for side in twins.both:
        side.observe(value)


def _sync(twins: Twins, random: Random) -> None:
    twins.captured.sync()
    assert twins.captured.clock == twins.eager.clock


EVENTS = [_load, _decay, _clock, _reschedule, _eager_step, _number, _sync]


@pytest.mark.parametrize("kind", ["momentum", "adamw", "amsgrad"])
def test_a_life_between_replays(device: Device, kind: str) -> None:
    """Plans, checkpoints, decay, clock, skips and eager steps: the same graph goes on, at the same addresses."""
    twins = Twins(device, kind, PLATEAU)
    infinite = device.tensor(0.0)
    for side in twins.both:
        side.found_inf = infinite
    twins.start()
    places = [t.data_ptr() for p, state in twins.captured.state.items() for t in (p, *state.values())]
    replay = twins.capture(reports=1)
    random = Random(kind)
    count, skips = device.amount(10_000, 300), 0
    for step in range(count):
        twins.gradients.into(step)
        twins.loss.fill_(loss_of(step))
        skip = random.random() < 0.1
        skips += skip
        infinite.fill_(float(skip))
        replay()
        twins.eager.observe(twins.loss)
        twins.eager.step()
        if random.random() < (0.05 if device.real else 0.3):
            infinite.zero_()
            random.choice(EVENTS)(twins, random)
    twins.assert_equal()
    assert twins.captured.skipped == skips
    assert places == [t.data_ptr() for p, state in twins.captured.state.items() for t in (p, *state.values())]


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_wd_live_in_graph(device: Device, kind: str) -> None:
    twins = Twins(device, kind, None)
    twins.start()
    replay = twins.capture()
    for decay in (0.0, 0.5, 0.1):
        for side in twins.both:
            side.param_groups[0]["weight_decay"] = decay
        twins.captured.sync()
        twins.gradients.into(4)
        replay()
        twins.eager.step()
        twins.assert_equal()


@pytest.mark.parametrize("how", ["after init_state", "after a load"])
def test_a_changed_decay_reaches_the_graph_before_any_eager_step(device: Device, how: str) -> None:
    twins = Twins(device, "adamw", "cosine(100)")
    for side in twins.both:
        side.init_state()
    twins.gradients.into(0)
    replay = twins.capture()
    for side in twins.both:
        if how == "after a load":
            side.load_state_dict(copy.deepcopy(side.state_dict()))
        else:
            side.init_state()
    for side in twins.both:
        side.param_groups[0]["weight_decay"] = 0.5
    twins.captured.sync()
    replay()
    twins.eager.step()
    twins.assert_equal()


def test_another_text_reaches_the_graph(device: Device) -> None:
    twins = Twins(device, "adamw", "cosine(100)")
    twins.start()
    replay = twins.capture()
    for step, text in enumerate(["linear(50)", "constant(0.03)", "hold() | plateau(patience=0, metric=loss)"]):
        for side in twins.both:
            side.reschedule(text)
            if "loss" in text:
                side.observe(1.0)
                side.observe(2.0)
        for _ in range(5):
            twins.gradients.into(step)
            replay()
            twins.eager.step()
        twins.assert_equal()


def test_a_rehearsal_leaves_nothing_behind(device: Device) -> None:
    """Warm-up steps before a capture do count; these do not."""
    twins = Twins(device, "momentum", PLATEAU)
    twins.start()
    with twins.captured.rehearsal():
        for step in range(3):
            twins.gradients.into(step)
            twins.captured.step()
    twins.gradients.into(1)
    replay = twins.capture(reports=1)
    for step in range(20):
        twins.gradients.into(step)
        replay()
        twins.eager.observe(twins.loss)
        twins.eager.step()
    twins.assert_equal()


# --- the capture itself ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MOVING)
def test_a_capture_advances_nothing(device: Device, kind: str) -> None:
    twins = Twins(device, kind, MOVING[kind])
    twins.start()
    device.synchronize()
    before = everything(twins.captured)
    rates = [group["lr"] for group in twins.captured.param_groups]
    twins.capture(reports=int(twins.listens))
    assert [group["lr"] for group in twins.captured.param_groups] == rates
    assert everything(twins.captured) == before
    twins.assert_equal()


def test_init_state_is_enough(device: Device) -> None:
    twins = Twins(device, "nesterov", MOVING["nesterov"])
    for side in twins.both:
        side.init_state()
    twins.gradients.into(0)
    replay = twins.capture()
    for step in range(10):
        twins.gradients.into(step)
        replay()
        twins.eager.step()
    twins.assert_equal()


def test_captures_beside_each_other(device: Device) -> None:
    """Two graphs of one optimizer, each with gradients of its own, and eager steps with a third set."""
    twins = Twins(device, "amsgrad", "cosine(300)")
    twins.start()
    owned = [[p for group in side.param_groups for p in group["params"]] for side in twins.both]
    sets = [[torch.randn(p.shape, device=device.place) for p in owned[0]] for _ in range(3)]

    def give(side: list[Parameter], which: int) -> None:
        for p, grad in zip(side, sets[which], strict=True):
            p.grad = grad

    replays = []
    for which in range(2):
        give(owned[0], which)
        replays.append(twins.capture())
    random = Random(4)
    for _ in range(device.amount(500, 60)):
        which = random.randrange(3)
        give(owned[1], which)
        twins.eager.step()
        if which < 2:
            replays[which]()
        else:
            give(owned[0], which)
            twins.captured.step()
    give(owned[0], which)
    twins.assert_equal()


# --- refusals -------------------------------------------------------------------------------------------------------


def _no_state(twins: Twins) -> Any:
    for side in twins.both:
        side.state.clear()
    return twins.captured.step, "init_state"


def _no_gradient(twins: Twins) -> Any:
    for side in twins.both:
        side.param_groups[0]["params"][1].grad = None
    return twins.captured.step, "group 0, parameter 1.*gradient"


def _new_group(twins: Twins) -> Any:
    fresh = Parameter(torch.zeros(3, device=twins.device.place))
    return lambda: twins.captured.add_param_group({"params": [fresh]}), "captur"


def _plain_number(twins: Twins) -> Any:
    return lambda: twins.captured.observe(0.5), "observe a tensor|captur"


def _to_wait(twins: Twins) -> Any:
    return twins.captured.sync, "captur"


def _to_save(twins: Twins) -> Any:
    return twins.captured.state_dict, "captur"


def _other_clock(twins: Twins) -> Any:
    return lambda: twins.captured.set_clock(3), "captur"


REFUSED = [_no_state, _no_gradient, _new_group, _plain_number, _to_wait, _to_save, _other_clock]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.__name__)
def test_refused_in_a_capture(device: Device, case: Callable[[Twins], Any]) -> None:
    """One clear error, and nothing has changed."""
    twins = Twins(device, "adamw", "hold() | plateau(patience=1, metric=loss)")
    twins.start()
    act, message = case(twins)
    before = everything(twins.eager)
    device.refused(act, twins.captured, match=message)
    assert everything(twins.captured) == before
    assert len(twins.captured.param_groups) == 2
    twins.gradients.into(1)
    for _ in range(3):
        twins.captured.step()
        twins.eager.step()
    twins.assert_equal()


def test_no_first_step_in_a_capture(device: Device) -> None:
    p = device.parameters([torch.ones(4)])
    optimizer = lrdsl.AdamW(p, schedule="linear(10)", backend=device.backend)
    p[0].grad = torch.ones_like(p[0])
    device.refused(optimizer.step, optimizer, match="init_state")
    assert not optimizer.state and optimizer.clock == 0 and (p[0] == 1).all()
    optimizer.step()
    assert optimizer.clock == 1


# --- what nobody may notice -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["momentum", "adamw"])
def test_replays_neither_wait_nor_allocate(device: Device, kind: str) -> None:
    twins = Twins(device, kind, PLATEAU, max_grad_norm=1.0)
    twins.start()
    replay = twins.capture(reports=1)
    replay()
    with device.watched() as seen:
        for _ in range(50):
            replay()
    assert (seen.waits, seen.allocations) == ([], [])
    if device.real:
        memory = torch.cuda.memory_allocated()
        for _ in range(100):
            replay()
        assert torch.cuda.memory_allocated() == memory


@pytest.mark.parametrize("kind", ["momentum", "adamw"])
def test_eager_steps_neither_wait_nor_allocate(device: Device, kind: str) -> None:
    twins = Twins(device, kind, PLATEAU, max_grad_norm=1.0)
    twins.start()
    twins.eager.observe(twins.loss)
    twins.eager.step()
    with device.watched() as seen:
        for _ in range(50):
            twins.eager.observe(twins.loss)
            twins.eager.step()
    assert (seen.waits, seen.allocations) == ([], [])
    assert twins.eager.clock == 53


# --- how many kernels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 2, 100, 1000])
@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("variant", ["advance", "early", "ticket"])
def test_launches(device: Device, variant: str, clip: float | None, groups: int) -> None:
    """Whatever the number of groups: the schedules' kernel, or the norm's in its place, and the update's."""
    params = device.parameters([torch.ones(3)] * groups)
    params = [Parameter(p.detach().clone()) for p in params]
    options: dict[str, Any] = {"schedule": "cosine(100)", "max_grad_norm": clip, "backend": device.backend}
    optimizer = lrdsl.AdamW([{"params": [p], "weight_decay": 0.001 * i} for i, p in enumerate(params)], **options)
    for p in params:
        p.grad = torch.ones_like(p)
    handle = device.handle(optimizer)
    before, handle.variant = handle.variant, variant
    try:
        optimizer.step()
        eager = 1 if variant == "ticket" and clip is None else 2
        count = handle.launches
        for _ in range(5):
            optimizer.step()
        assert handle.launches - count == 5 * eager
        with device.watched() as seen:
            for _ in range(5):
                optimizer.step()
        assert not device.real or seen.kernels.total() == 5 * eager, seen.kernels
        replay = device.capture(optimizer.step, optimizer)
        with device.watched() as seen:
            for _ in range(5):
                replay()
        assert not device.real or seen.kernels.total() == 10, seen.kernels  # the ticket is for eager steps
        assert optimizer.clock == 16
    finally:
        handle.variant = before


@pytest.mark.parametrize("variant", ["advance", "early", "ticket"])
def test_variants_agree(device: Device, variant: str) -> None:
    """A step made of other launches has the same bits."""
    twins = Twins(device, "adamw", MOVING["adamw"], max_grad_norm=0.7)
    plain = Twins(device, "adamw", MOVING["adamw"])
    for pair in (twins, plain):
        handle = device.handle(pair.captured)
        for step in range(30):
            pair.gradients.into(step)
            before, handle.variant = handle.variant, variant
            pair.captured.step()
            handle.variant = "advance"
            pair.eager.step()
            handle.variant = before
        pair.assert_equal()
