"""A device that steps by itself, here the one whose memory is the host's: captures, forecasts, what is handed over."""

from __future__ import annotations

import copy
import ctypes
import gc
import json
import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from torch import Tensor  # noqa: E402
from torch.nn import Parameter  # noqa: E402

import lrdsl  # noqa: E402
from lrdsl import cuda  # noqa: E402
from lrdsl.evaluators import native  # noqa: E402
from lrdsl.optim import accelerator, batch, device_tables, history, moments, neighbours  # noqa: E402
from lrdsl.optim.backends import choose  # noqa: E402
from tests.optim.matrix import bits, members  # noqa: E402
from tests.optim.peers import KINDS, fingerprint, needs_native, parameters  # noqa: E402

pytestmark = needs_native

PLATEAU = "lr = linear(40, to=0.5x) | plateau(patience=0, metric=loss)"
TEXTS = {
    "none": None,
    "decay": "linear(40, to=0.1x)",
    "plateau": PLATEAU,
    "norm": "lr = constant(1x) | plateau(patience=1, metric=grad_norm)",
    "guard": "lr = constant(1x) | guard(metric=grad_norm, spike=1.1, recover=5) | normscale(6)",
}


def make(kind: str, backend: str = "emulated", **options: Any) -> Any:
    """Two groups, the second with its own rate and decay."""
    params = parameters([(33,), (4, 5), (7,)])
    groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.02, "weight_decay": 0.05}]
    return KINDS[kind].ours(groups, backend=backend, **options)


def test_the_kernel_is_chosen_for_every_row_that_takes_part():
    empty = Parameter(torch.ones(0))  # its gradient comes later, and lies nowhere
    params = [Parameter(torch.ones(4, dtype=torch.float64)), empty]
    optimizer = lrdsl.AdamW(params, schedule="hold()", backend="emulated")
    for p in params:
        p.grad = torch.ones_like(p)
        optimizer.step()
    optimizer.sync()
    assert optimizer.clock == 2


def handle(optimizer: Any) -> Any:
    return optimizer._device.accelerator.handle


def fill(optimizer: Any, step: int) -> None:
    """New values in the memory of the gradients."""
    generator = torch.Generator().manual_seed(step)
    for p in members(optimizer):
        if p.grad is None:
            p.grad = torch.empty_like(p)
        p.grad.copy_(torch.randn(p.shape, generator=generator))


@contextmanager
def capture(optimizer: Any) -> Iterator[list[Callable[[], None]]]:
    """Launches inside are recorded; afterwards the list holds what replays them."""
    device, replay = handle(optimizer), []
    device.begin_capture()
    try:
        yield replay
    finally:
        graph = device.end_capture()
        replay.append(lambda: device.replay(graph))


def captured(optimizer: Any) -> Callable[[], None]:
    fill(optimizer, 0)
    with capture(optimizer) as replay:
        optimizer.step()
    return replay[0]


def told(optimizer: Any) -> Any:
    optimizer.sync()
    options = [{key: entry for key, entry in group.items() if key != "params"} for group in optimizer.param_groups]
    return optimizer.clock, optimizer.skipped, repr(options), optimizer.doctor()["faults"], bits(optimizer)


# --- records --------------------------------------------------------------------------------------------------------


def test_records_have_the_sizes_of_their_originals() -> None:
    module = native.extension()
    assert module is not None
    records = {name: getattr(device_tables, name, None) for name in module.SIZES}
    ours = {name: ctypes.sizeof(r) for name, r in records.items() if isinstance(r, type(ctypes.Structure))}
    assert ours.keys() == module.SIZES.keys() - {"TensorRow", "Hyper", "Bias"}
    assert ours == {name: module.SIZES[name] for name in ours}
    assert device_tables.Control is neighbours.Control and history.LENGTH == module.HISTORY
    assert (module.SIZES["TensorRow"], module.SIZES["Hyper"]) == (module.ROW_SIZE, 8 * device_tables.WORDS)


# --- captures -------------------------------------------------------------------------------------------------------


def _observe(optimizer: Any, step: int) -> None:
    if any("loss" in schedule.metrics for schedule in optimizer.schedules if schedule):
        optimizer.observe(torch.tensor(math.sin(step)))


def _observe_in_low_precision(optimizer: Any, step: int) -> None:
    if any("loss" in schedule.metrics for schedule in optimizer.schedules if schedule):
        optimizer.observe(torch.tensor([2.0], dtype=torch.bfloat16))
        optimizer.observe(torch.tensor(3, dtype=torch.int16))


def _load(optimizer: Any, step: int) -> None:
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


def _decay(optimizer: Any, step: int) -> None:
    for group in optimizer.param_groups:
        group["weight_decay"] = 0.1 + step / 100
    optimizer.sync()


def _clock(optimizer: Any, step: int) -> None:
    optimizer.set_clock(3)


def _earlier(optimizer: Any, step: int) -> None:
    """Go back to a state of two steps before."""
    if step == 7:
        optimizer.saved = copy.deepcopy(optimizer.state_dict())
    else:
        optimizer.load_state_dict(optimizer.saved)


def _reschedule(optimizer: Any, step: int) -> None:
    optimizer.reschedule("cosine(30)", branch=True)


EVENTS: dict[str, dict[int, Callable[[Any, int], None]]] = {
    "nothing": {},
    "reports": {2: _observe, 3: _observe, 5: _observe, 6: _observe_in_low_precision, 8: _observe},
    "loads": {3: _load, 7: _earlier, 9: _earlier},
    "decay and clock": {2: _decay, 4: _clock, 8: _decay},
    "another text": {2: _observe, 4: _reschedule},
}


@pytest.mark.parametrize("events", EVENTS)
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("kind", ["momentum", "adamw", "amsgrad"])
def test_replays_are_steps(kind: str, text: str, events: str) -> None:
    """With overflows in between, and whatever the host changes, the eager step of the host gives the same bits."""
    options = {"schedule": TEXTS[text], "max_grad_norm": 3.0}
    graphed, eager = make(kind, **options), make(kind, "native", **options)
    graphed.init_state()
    graphed.found_inf = torch.zeros(())
    replay = captured(graphed)
    assert (graphed.clock, eager.clock) == (0, 0)
    for step in range(12):
        for side in (graphed, eager):
            EVENTS[events].get(step, lambda optimizer, step: None)(side, step)
            fill(side, step)
            if step == 6:
                members(side)[0].grad[3] = math.inf
        overflow = float(step in (0, 6))
        graphed.found_inf.fill_(overflow)
        eager.found_inf = torch.tensor(overflow)
        replay()
        eager.step()
        if step % 5 == 4:
            assert told(graphed) == told(eager)
            assert graphed.grad_norm == eager.grad_norm
    assert told(graphed) == told(eager)
    assert graphed.state_dict()["param_groups"] == eager.state_dict()["param_groups"]


def test_reports_in_a_capture() -> None:
    graphed, eager = (make("adamw", backend, schedule=PLATEAU) for backend in ("emulated", "native"))
    graphed.init_state()
    fill(graphed, 0)
    loss = torch.zeros(())
    with capture(graphed) as replay:
        graphed.observe(loss)
        graphed.step()
    for step in range(8):
        for side in (graphed, eager):
            fill(side, step)
        loss.fill_(math.cos(step))
        replay[0]()
        eager.observe(loss)
        eager.step()
    # Which step a tensor was last reported at is for the host to say, which was not asked.
    for optimizer in (graphed, eager):
        for schedule in optimizer.schedules:
            schedule.reported("loss", 0)
    assert told(graphed) == told(eager)
    assert graphed.state_dict()["param_groups"] == eager.state_dict()["param_groups"]


@pytest.mark.parametrize("kind", ["momentum", "adamw"])
def test_eager_steps_between_replays(kind: str) -> None:
    """They have gradients elsewhere, or none at all, and a capture keeps its own."""
    graphed, eager = (make(kind, backend, schedule="linear(40)") for backend in ("emulated", "native"))
    graphed.init_state()
    replay = captured(graphed)
    own = [p.grad for p in members(graphed)]
    for step in range(9):
        for side in (graphed, eager):
            for p, grad in zip(members(side), own, strict=True):
                p.grad = grad if side is graphed else None
            fill(side, step)
            if step % 3 == 1:
                members(side)[0].grad = None
                members(side)[1].grad = torch.ones(5, 4).t()
        if step % 3 == 0:
            replay()
        else:
            graphed.step()
        eager.step()
        if step % 2:
            assert told(graphed) == told(eager)
    assert told(graphed) == told(eager)


def _another_buffer(optimizer: Any) -> None:
    own = optimizer.state[members(optimizer)[1]]
    own["exp_avg"] = own["exp_avg"].clone()


def _thawed(optimizer: Any) -> None:
    """Rows on either side of one that has been stepped."""
    for p in members(optimizer):
        p.requires_grad_(True)
    fill(optimizer, 0)


UNHEARD: dict[str, Callable[[Any], Any]] = {
    "state replaced": _another_buffer,
    "more parameters": _thawed,
    "init_state": lambda optimizer: optimizer.init_state(),
}


@pytest.mark.parametrize("lag", [0, 100])
@pytest.mark.parametrize("event", UNHEARD)
def test_replays_that_the_host_has_not_heard_of(event: str, lag: int) -> None:
    optimizer = make("adamw", schedule="linear(40)")
    params = members(optimizer)
    fill(optimizer, 0)
    if event == "more parameters":
        for p in (params[0], params[2]):
            p.grad = None
            p.requires_grad_(False)
    optimizer.step()
    with capture(optimizer) as replay:
        optimizer.step()
    optimizer.sync()
    handle(optimizer).lag = lag
    for _ in range(5):
        replay[0]()
    UNHEARD[event](optimizer)
    optimizer.step()
    optimizer.sync()
    assert (optimizer.state[params[1]]["step"], optimizer.clock) == (7, 7)
    assert optimizer._device.rows.table["step"][1] == 7


def test_several_steps_in_a_capture() -> None:
    graphed, eager = (make("adamw", backend, schedule="linear(40)") for backend in ("emulated", "native"))
    graphed.init_state()
    fill(graphed, 0)
    with capture(graphed) as replay:
        for _ in range(3):
            graphed.step()
    fill(eager, 0)
    for _ in range(4):
        replay[0]()
        for _ in range(3):
            eager.step()
    assert told(graphed) == told(eager)
    assert graphed.clock == 12


def _no_gradient(optimizer: Any) -> None:
    members(optimizer)[1].grad = None
    optimizer.step()


def _number(optimizer: Any) -> None:
    optimizer.observe(1.0)


def _elsewhere(optimizer: Any) -> None:
    optimizer.observe(torch.ones((), device="meta"))


def _scale(optimizer: Any) -> None:
    optimizer.grad_scale = 2.0
    optimizer.step()


def _overflow(optimizer: Any) -> None:
    optimizer.found_inf = torch.zeros((), device="meta")
    optimizer.step()


def _new_group(optimizer: Any) -> None:
    optimizer.add_param_group({"params": [Parameter(torch.ones(3))]})


def _other_rate(optimizer: Any) -> None:
    optimizer.param_groups[0]["lr"] = 0.3
    optimizer.step()


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "gradient": (_no_gradient, r"group 0, parameter 1 has no gradient"),
    "number": (_number, "observed as loss is a number, which would be frozen"),
    "elsewhere": (_elsewhere, "observed as loss is a tensor on meta, .* use a tensor on cpu"),
    "scale": (_scale, "grad_scale is a number, which would be frozen"),
    "overflow": (_overflow, "found_inf is a tensor on meta"),
    "group": (_new_group, "add_param_group.. waits for the device"),
    "clock": (lambda optimizer: optimizer.clock, "waits for the device"),
    "set_clock": (lambda optimizer: optimizer.set_clock(3), "waits for the device"),
    "sync": (lambda optimizer: optimizer.sync(), "waits for the device"),
    "state dict": (lambda optimizer: optimizer.state_dict(), "waits for the device"),
    "load": (lambda optimizer: optimizer.load_state_dict({}), "waits for the device"),
    "copy": (copy.deepcopy, "waits for the device"),
    "another text": (lambda optimizer: optimizer.reschedule("hold()"), "waits for the device"),
    "foreign rate": (_other_rate, "waits for the device"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_a_capture(name: str) -> None:
    act, message = REFUSED[name]
    optimizer = make("adamw", schedule=PLATEAU)
    fill(optimizer, 0)
    optimizer.step()
    before, rate = fingerprint(optimizer), optimizer.param_groups[0]["lr"]
    with capture(optimizer) as replay, pytest.raises(RuntimeError, match=message):
        act(optimizer)
    replay[0]()
    optimizer.param_groups[0]["lr"] = rate
    assert fingerprint(optimizer) == before


def test_a_capture_needs_state(monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer = make("adamw", schedule="linear(9)")
    fill(optimizer, 0)
    before = fingerprint(optimizer)
    with monkeypatch.context() as patch:
        for name in ("step_tensor", "zeros_like"):
            patch.delattr(moments, name)  # to find out, nothing is made
        with capture(optimizer), pytest.raises(RuntimeError, match=r"init_state\(\)"):
            optimizer.step()
    assert fingerprint(optimizer) == before and optimizer.clock == 0
    optimizer.step()
    captured(optimizer)()
    assert optimizer.clock == 2


def test_state_exchanged_before_a_capture() -> None:
    optimizer = make("adamw", schedule="linear(9)")
    fill(optimizer, 0)
    optimizer.step()
    p = members(optimizer)[0]
    optimizer.state[p] = {key: entry.clone() for key, entry in optimizer.state[p].items()}
    with capture(optimizer), pytest.raises(RuntimeError, match=r"sync\(\) right before|init_state\(\) before"):
        optimizer.step()
    optimizer.init_state()
    captured(optimizer)()
    assert optimizer.clock == 2 and optimizer.state[p]["step"] == 2


def test_a_rehearsal_before_a_capture() -> None:
    graphed, eager = (make("momentum", backend, schedule=TEXTS["norm"]) for backend in ("emulated", "native"))
    with graphed.rehearsal():
        for step in range(3):
            fill(graphed, step)
            graphed.step()
        replay = captured(graphed)
        replay()
    assert graphed.clock == 0
    for step in range(5):
        for side in (graphed, eager):
            fill(side, step)
        replay()
        eager.step()
    assert told(graphed) == told(eager)


def _strided(backend: str) -> Any:
    """A parameter with gaps, which is stepped in what stands in for it, and one without."""
    params = [Parameter(torch.ones(4, 8)[:, ::2]), Parameter(torch.ones(3))]
    return lrdsl.AdamW(params, lr=0.1, backend=backend)


def test_what_stands_in_for_a_parameter_stays() -> None:
    """Under a graph, which copies to and from it: rows that are filled again know the same one."""
    optimizer, eager = _strided("emulated"), _strided("native")
    fill(optimizer, 0)
    fill(eager, 0)
    optimizer.step()
    eager.step()
    values = [p.detach().clone() for p in members(optimizer)]
    captured(optimizer)
    with torch.no_grad():
        for p, value in zip(members(optimizer), values, strict=True):
            p.copy_(value)  # here torch's own copies are not recorded
    place = optimizer._device.stages[0].data_ptr()
    for step in range(3):
        for side in (optimizer, eager):
            fill(side, step)
            if step == 1:
                side.load_state_dict(copy.deepcopy(side.state_dict()))
            if step == 2:
                side.init_state()
            side.step()
    assert optimizer._device.stages[0].data_ptr() == optimizer._device.rows.table["p"][0] == place
    assert told(optimizer) == told(eager)


def test_what_stands_in_for_a_parameter_cannot_be_exchanged_under_a_graph() -> None:
    optimizer = _strided("emulated")
    p = members(optimizer)[0]
    fill(optimizer, 0)
    optimizer.step()
    p.data = torch.ones(4, 12)[:, ::3]  # the same without gaps
    optimizer.step()
    optimizer.state[p].clear()
    stage = optimizer._device.stages[0].data_ptr()
    optimizer.init_state()
    assert optimizer._device.stages[0].data_ptr() == stage
    captured(optimizer)
    p.data = p.data.contiguous()
    fill(optimizer, 0)
    before = fingerprint(optimizer)
    for act in (optimizer.step, optimizer.init_state):
        with pytest.raises(RuntimeError, match="group 0, parameter 0 is laid out otherwise than when a graph"):
            act()
    assert fingerprint(optimizer) == before


def test_places_stay() -> None:
    optimizer = make("adamw", schedule=PLATEAU, max_grad_norm=1.0)
    fill(optimizer, 0)
    optimizer.step()

    def places() -> dict[str, int]:
        tables = optimizer._device.tables
        names = ("rows", "hypers", "biases", "partials", "state", "plan", "mirror", "history")
        state = [entry.data_ptr() for own in optimizer.state.values() for entry in own.values()]
        return {name: getattr(tables, name) for name in names} | dict(enumerate(state))

    before = places()
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    optimizer.set_clock(7)
    optimizer.reschedule("cosine(9)")
    optimizer.param_groups[0]["betas"] = (0.5, 0.6)
    fill(optimizer, 1)
    optimizer.step()
    assert places() == before


def test_a_captured_step_outlives_its_groups() -> None:
    """Nobody promises anything of its results, but its memory is not somebody else's."""
    optimizer = make("adamw")
    optimizer.init_state()
    replay = captured(optimizer)
    optimizer.add_param_group({"params": [Parameter(torch.ones(3))]})
    former = weakref.ref(optimizer._device.former)
    optimizer.add_param_group({"params": [Parameter(torch.ones(4))]})
    gc.collect()
    assert former() is not None and former().keep
    replay()


def test_amsgrad_after_a_capture() -> None:
    """Kernels are made for it or not, and a graph has the one it was captured with."""
    module, formats = native.extension(), list[int]()
    assert module is not None
    for kind, wanted in (("adamw", [0, module.AMSGRADS]), ("amsgrad", [module.AMSGRADS] * 2), ("momentum", [0, 0])):
        optimizer = make(kind)
        optimizer.init_state()
        optimizer._device.accelerator.handle = Seen(handle(optimizer), formats)
        fill(optimizer, 0)
        formats.clear()
        optimizer.step()
        captured(optimizer)
        assert [found & module.AMSGRADS for found in formats] == wanted


@pytest.mark.parametrize("how", ["sync", "eager step"])
@pytest.mark.parametrize(("kind", "option"), [("sgd", {"momentum": 0.9}), ("adamw", {"amsgrad": True})])
def test_replays_find_state_that_is_wanted_later(kind: str, option: dict[str, Any], how: str) -> None:
    graphed, eager = make(kind), make(kind, "native")
    graphed.init_state()
    replay = captured(graphed)
    own = [p.grad for p in members(graphed)]
    for step in range(6):
        for side in (graphed, eager):
            fill(side, step)
            if step == 2:
                for group in side.param_groups:
                    group |= option
        if step == 2 and how == "eager step":  # of one parameter; the others are still to come
            for side in (graphed, eager):
                for p in members(side)[1:]:
                    p.grad = None
            graphed.step()
        else:
            if step == 2:
                graphed.sync()
            replay()
        eager.step()
        for side in (graphed, eager):
            for p, grad in zip(members(side), own, strict=True):
                p.grad = grad if side is graphed else p.grad
    assert told(graphed) == told(eager)


class Seen:
    """A device whose steps somebody looks at."""

    def __init__(self, device: Any, formats: list[int]) -> None:
        self._device, self._formats = device, formats

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)

    def step(self, kind: int, formats: int, *rest: int) -> None:
        self._formats.append(formats)
        self._device.step(kind, formats, *rest)


# --- what is handed over --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 2, 28, 1000])
@pytest.mark.parametrize("text", TEXTS)
def test_two_launches(groups: int, text: str) -> None:
    params = parameters([(3,)] * groups)
    made = [{"params": [p]} for p in params]
    optimizer = lrdsl.AdamW(
        made, schedule=TEXTS[text], max_grad_norm=1.0 if text == "decay" else None, backend="emulated"
    )
    for step in range(3):
        fill(optimizer, step)
        before = handle(optimizer).launches, handle(optimizer).uploads
        optimizer.step()
        after = handle(optimizer).launches, handle(optimizer).uploads
        assert after[0] - before[0] == 2
        assert step == 0 or after[1] == before[1]


def test_the_walk_has_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer, threads = make("adamw"), []
    fill(optimizer, 0)
    optimizer.step()
    backend = optimizer._stepper.backend
    walk = SimpleNamespace(
        gather=lambda zero, count: (threads.append(count), native_walk.gather(zero, count))[1],
        written=lambda zero: native_walk.written(zero),
        holds=lambda: True,
        moved=False,
    )
    native_walk = backend._walk
    monkeypatch.setattr(backend, "_walk", walk)
    optimizer.step()
    assert threads == [1]


def test_only_what_has_changed_is_handed_over() -> None:
    optimizer = make("adamw", schedule="lr = linear(9); beta2 = expr(0.9)")
    groups = optimizer.param_groups

    def uploads() -> int:
        fill(optimizer, 0)
        before = handle(optimizer).uploads
        optimizer.step()
        return handle(optimizer).uploads - before

    uploads()
    assert uploads() == 0
    groups[0]["weight_decay"] = 0.3
    assert uploads() == 1
    groups[0]["weight_decay"], groups[0]["eps"] = 0.4, 1e-3  # beta2 between them is the device's
    assert uploads() == 2
    groups[0]["weight_decay"], groups[0]["betas"] = 0.5, (0.8, groups[0]["betas"][1])
    assert uploads() == 1
    groups[0]["eps"] = groups[1]["eps"] = 1e-2  # as is the second group's rate
    assert uploads() == 2
    groups[0]["weight_decay"] = 0.5
    assert uploads() == 0
    former, members(optimizer)[0].grad = members(optimizer)[0].grad, None  # kept, so that the next one is elsewhere
    assert uploads() == 1  # where the gradient is
    del former


@pytest.mark.parametrize("moved", [False, True])
def test_one_look_at_the_device(moved: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """And of gradients that moved, only where they are is handed over."""
    optimizer = make("adamw", schedule=PLATEAU)
    fill(optimizer, 0)
    optimizer.step()
    schedule, looks, kept = optimizer._device, [], []
    monkeypatch.setattr(schedule, "_listen", lambda look=schedule._listen: (looks.append(1), look())[1])
    for step in range(5):
        if moved:
            kept += [p.grad for p in members(optimizer)]
            optimizer.zero_grad()
            fill(optimizer, step)
        looks.clear()
        before = handle(optimizer).uploads
        optimizer.step()
        assert (len(looks), handle(optimizer).uploads - before) == (1, int(moved))


def test_nothing_scheduled_is_one_stretch() -> None:
    optimizer = make("adamw")
    fill(optimizer, 0)
    optimizer.step()
    optimizer.param_groups[0]["lr"], optimizer.param_groups[1]["eps"] = 0.3, 1e-3
    before = handle(optimizer).uploads
    optimizer.step()
    assert handle(optimizer).uploads - before == 1


def test_no_gradient_is_kept() -> None:
    optimizer = make("adamw", schedule="linear(9)")
    fill(optimizer, 0)
    members(optimizer)[1].grad = torch.ones(5, 4).t()
    optimizer.step()
    optimizer.step()
    grads = [weakref.ref(p.grad) for p in members(optimizer)]
    optimizer.zero_grad()
    gc.collect()
    assert [grad() for grad in grads] == [None] * 3


def test_dies_with_its_memory() -> None:
    optimizer = make("adamw")
    optimizer.init_state()
    replay = captured(optimizer)
    schedule, plan = weakref.ref(optimizer._device), weakref.ref(optimizer._device.plan)
    del optimizer, replay
    gc.collect()
    assert (schedule(), plan()) == (None, None)


def _claim(size: int) -> list[Tensor]:
    """Memory such as whoever comes next would get."""
    return [torch.full((size,), 7, dtype=torch.uint8) for _ in range(50)]


@pytest.mark.parametrize("replace", [False, True])
def test_memory_is_not_somebody_elses_while_launches_use_it(replace: bool) -> None:
    optimizer = make("adamw", schedule=PLATEAU)
    for step in range(2):
        fill(optimizer, step)
        optimizer.step()
    device, params = handle(optimizer), members(optimizer)  # which stay
    device.lag = 100
    optimizer.observe(1.0)
    optimizer.step()
    sizes = [len(held.numpy()) for held in optimizer._device._memory.values() if isinstance(held, Tensor)]
    if replace:
        optimizer.reschedule("linear(30)")
    else:
        del optimizer
        gc.collect()
    claimed = [tensor for size in sizes for tensor in _claim(size)]
    device.synchronize(0)
    assert all(bool((tensor == 7).all()) for tensor in claimed)
    del params


def test_an_optimizer_that_goes_during_a_capture() -> None:
    """Nobody can wait for the device then; its memory is let go of later."""
    going = make("adamw", schedule="linear(9)")
    fill(going, 0)
    going.step()
    device, one = handle(going), going._device.accelerator
    captured(going)
    plan = weakref.ref(going._device.plan)
    device.begin_capture()
    try:
        del going
        gc.collect()
        assert plan() is not None
        with pytest.raises(RuntimeError, match="nobody can wait for the device"):
            one.wait()
    finally:
        device.end_capture()
    one.wait()
    gc.collect()
    assert plan() is None


def test_all_streams_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    monkeypatch.setattr(accelerator.Accelerator, "stream", lambda self: 5)
    device = SimpleNamespace(preload=lambda: None, capturing=lambda stream: False)
    accelerator.Accelerator(device, torch.device("cuda", 1), "cuda").wait()
    assert waited == [torch.device("cuda", 1)]


# --- forecasts ------------------------------------------------------------------------------------------------------


class Late:
    """A device that does nothing until somebody waits for it."""

    def __init__(self, device: Any) -> None:
        self._device = device
        self._queue: list[Callable[[], None]] = []
        self._kept: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)

    def _later(self, name: str, size: int, before: tuple[Any, ...], address: int, after: tuple[Any, ...]) -> None:
        content = ctypes.create_string_buffer(ctypes.string_at(address, size), size)
        call = getattr(self._device, name)
        self._queue.append(lambda: call(*before, ctypes.addressof(content), *after))

    def run(self, count: int | None = None) -> None:
        for _ in range(len(self._queue) if count is None else count):
            self._queue.pop(0)()

    def step(self, kind: int, formats: int, tables: int, stream: int) -> None:
        self._later("step", ctypes.sizeof(device_tables.Tables), (kind, formats), tables, (stream,))

    def publish(self, tables: int, advance: bool, stream: int) -> None:
        self._later("publish", ctypes.sizeof(device_tables.Tables), (), tables, (advance, stream))

    def report(self, tables: int, metric: int, value: int, dtype: int, stream: int) -> None:
        number = ctypes.create_string_buffer(ctypes.string_at(value, [4, 8, 2, 2][dtype]))
        self._kept.append(number)
        size = ctypes.sizeof(device_tables.Tables)
        self._later("report", size, (), tables, (metric, ctypes.addressof(number), dtype, stream))

    def report_number(self, tables: int, metric: int, number: float, stream: int) -> None:
        self._later("report_number", ctypes.sizeof(device_tables.Tables), (), tables, (metric, number, stream))

    def upload(self, to: int, source: int, size: int, stream: int) -> None:
        self._later("upload", size, (to,), source, (size, stream))

    def download(self, to: int, source: int, size: int, stream: int) -> None:
        self.run()
        self._device.download(to, source, size, stream)

    def synchronize(self, stream: int) -> None:
        self.run()


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(module: Any) -> accelerator.Accelerator:
        return accelerator.Accelerator(Late(module.HostDevice()), torch.device("cpu"), "emulated")

    monkeypatch.setattr(accelerator, "emulated", made)


@pytest.mark.usefixtures("late")
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("kind", ["momentum", "adamw"])
def test_a_device_that_is_late(kind: str, text: str) -> None:
    """The host runs ahead, and whenever it waits it is where the host's own step would be."""
    ours, theirs = (
        make(kind, backend, schedule=TEXTS[text], skip_nonfinite=True) for backend in ("emulated", "native")
    )
    grads: list[Tensor] = []
    for step in range(20):
        overflow = step % 7 == 0
        for side in (ours, theirs):
            for p in members(side):
                p.grad = None
            fill(side, step)
            grads += [p.grad for p in members(side)]
            if overflow:
                members(side)[0].grad[3] = math.inf
            if step % 6 == 4:
                members(side)[1].grad = None
            if step == 9:
                side.param_groups[0]["weight_decay"] = 0.2
            if "loss" in (TEXTS[text] or "") and step % 3:
                side.observe(torch.tensor(math.sin(step)) if step % 2 else math.sin(step))
            side.step()
        if step % 5 == 3:
            handle(ours).run(step % 3)
        if step % 8 == 6:
            assert told(ours) == told(theirs)
    assert told(ours) == told(theirs)
    assert ours.state_dict()["param_groups"] == theirs.state_dict()["param_groups"]


@pytest.mark.usefixtures("late")
def test_a_forecast_corrects_itself() -> None:
    optimizer = make("adamw", schedule="linear(10)", skip_nonfinite=True)
    fill(optimizer, 0)
    members(optimizer)[0].grad[0] = math.inf
    rates = [optimizer.param_groups[0]["lr"]]
    for _ in range(3):
        optimizer.step()
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [0.01 * (1 - k / 10) for k in range(4)]
    handle(optimizer).run()
    for p in members(optimizer):
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert optimizer.param_groups[0]["lr"] == 0.01 * (1 - 1 / 10)
    assert (optimizer.skipped, optimizer.clock) == (3, 1)


@pytest.mark.usefixtures("late")
def test_first_steps_that_were_skipped_are_still_to_come() -> None:
    """A buffer that has seen nothing starts with the whole gradient, however late the host hears of it."""
    ours, theirs = (make("momentum", backend, dampening=0.5, skip_nonfinite=True) for backend in ("emulated", "native"))
    for step in range(4):
        for side in (ours, theirs):
            fill(side, step)
            if step == 0:
                members(side)[0].grad[0] = math.inf
            if step == 1:  # every row is filled again
                members(side)[0].data = members(side)[0].data.clone()
                side.state[members(side)[0]] = dict(side.state[members(side)[0]])
            side.step()
            if step == 0 and side is ours:
                handle(ours).run()
        handle(ours).run()
    assert told(ours) == told(theirs)


def test_two_reports_before_one_update() -> None:
    ours, theirs = (make("adamw", backend, schedule=PLATEAU) for backend in ("emulated", "native"))
    for side in (ours, theirs):
        fill(side, 0)
        side.step()
        for value in (1.0, torch.tensor(2.0), torch.tensor(3.0, dtype=torch.float64), torch.tensor([4])):
            side.observe(value)
    assert ours.param_groups[0]["lr"] == theirs.param_groups[0]["lr"]
    cuts = [
        json.loads(side.state_dict()["param_groups"][0]["schedule_state"])["lr"]["plateau.cuts"]
        for side in (ours, theirs)
    ]
    assert cuts == [3.0, 3.0]


# --- rates in tensors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_capturable(kind: str) -> None:
    optimizer = make(kind, capturable=True, schedule="linear(10)")
    rates = [group["lr"] for group in optimizer.param_groups]
    assert all(isinstance(rate, Tensor) and rate.dtype == torch.float32 and rate.dim() == 0 for rate in rates)
    optimizer.init_state()
    replay = captured(optimizer)
    bases = [0.1 if kind == "sgd" else 0.01, 0.02]
    for step in range(4):
        assert [rate.item() for rate in rates] == [torch.tensor(b * (1 - step / 10)).item() for b in bases]
        replay()
    versions = [rate._version for rate in rates]
    optimizer.step()
    assert all(map(lambda group, rate: group["lr"] is rate, optimizer.param_groups, rates))
    assert [rate._version for rate in rates] == versions and optimizer.clock == 5
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    optimizer.set_clock(7)
    assert rates[0].item() == torch.tensor(bases[0] * 0.3).item()
    assert [group["initial_lr"] for group in optimizer.param_groups] == bases
    with pytest.raises(ValueError, match="cannot be captured"):
        make(kind, "native", capturable=True)


def test_a_rate_in_a_tensor_is_watched() -> None:
    optimizer = make("adamw", capturable=True, schedule="linear(10)")
    fill(optimizer, 0)
    optimizer.step()
    rate = optimizer.param_groups[0]["lr"]
    for same in (lambda: rate.fill_(rate.item()), lambda: optimizer.param_groups[0].update(lr=rate.clone())):
        same()
        optimizer.step()
        assert optimizer.param_groups[0]["lr"] is rate
    rate.fill_(0.5)
    before = optimizer.clock
    with pytest.raises(RuntimeError, match="another scheduler"):
        optimizer.step()
    assert optimizer.clock == before == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_a_rate_that_nobody_schedules(dtype: torch.dtype) -> None:
    """It is read where it is, also by a captured step."""
    optimizer = KINDS["sgd"].ours(parameters([(3,)]), lr=torch.tensor(0.5, dtype=dtype), backend="emulated")
    (p,) = members(optimizer)
    optimizer.init_state()
    replay = captured(optimizer)
    for rate in (0.5, 0.25, 0.125):
        optimizer.param_groups[0]["lr"].fill_(rate)
        before = p.detach().clone()
        p.grad.fill_(1.0)
        (replay if rate == 0.25 else optimizer.step)()
        assert torch.equal(p.detach(), before - rate)
    optimizer.param_groups[0]["lr"] = torch.tensor(1.0)
    before = p.detach().clone()
    optimizer.step()
    assert torch.equal(p.detach(), before - 1.0)
    optimizer.param_groups[0]["lr"] = 2.0
    optimizer.step()
    assert torch.equal(p.detach(), before - 3.0)


# --- checkpoints ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["momentum", "adamw", "amsgrad"])
def test_round_trip(kind: str) -> None:
    """Device → host → device → torch → device: as if one had run through."""
    straight = make(kind, "native")
    walks = [make(kind, backend) for backend in ("emulated", "native", "emulated")]
    torchs = KINDS[kind].theirs([dict(group) for group in make(kind).param_groups])
    chain = [*walks[:3], torchs, make(kind)]
    before = None
    for step, side in enumerate(chain):
        if before is not None:
            side.load_state_dict(copy.deepcopy(before.state_dict()))
            for p, q in zip(members(side), members(before), strict=True):
                p.data.copy_(q.data)
        if side is not torchs:
            for optimizer in (side, straight):
                fill(optimizer, step)
                optimizer.step()
        before = side
    assert bits(chain[-1]) == bits(straight)


def test_counts_that_float32_cannot_show() -> None:
    sides = [make("adamw", backend) for backend in ("emulated", "native")]
    for side in sides:
        side.init_state()
        saved = copy.deepcopy(side.state_dict())
        for own in saved["state"].values():
            own["step"] = torch.tensor(2.0**24 - 2)
        side.load_state_dict(saved)
        for step in range(5):
            fill(side, step)
            side.step()
        counts = [own["step"] for own in side.state_dict()["state"].values()]
        assert [(count.dtype, count.item()) for count in counts] == [(torch.float64, 2.0**24 + 3)] * 3
        twin = copy.deepcopy(side)
        assert [own["step"].item() for own in twin.state.values()] == [2.0**24 + 3] * 3
    assert [p.tolist() for p in members(sides[0])] == [p.tolist() for p in members(sides[1])]


def test_faults_and_held_values() -> None:
    text = "lr = linear(9); weight_decay = expr(where(step == 3, log(0 - 1), 0.1))"
    graphed, eager = (make("adamw", backend, schedule=text) for backend in ("emulated", "native"))
    graphed.init_state()
    replay = captured(graphed)
    for step in range(5):
        for side in (graphed, eager):
            fill(side, step)
        replay()
        eager.step()
    assert told(graphed) == told(eager)
    assert len(graphed.doctor()["faults"]) == 2
    saved = copy.deepcopy(graphed.state_dict())
    assert saved["param_groups"] == eager.state_dict()["param_groups"]
    graphed.load_state_dict(saved)
    assert told(graphed) == told(eager)


def test_history_of_replays() -> None:
    optimizer = make("adamw", schedule="linear(10)")
    optimizer.init_state()
    replay = captured(optimizer)
    for _ in range(3):
        replay()
    optimizer.step()
    found = optimizer.lr_history()
    assert found["step"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert found["lr"].tolist() == [base * (1 - k / 10) for k in range(4) for base in (0.01, 0.02)]
    optimizer.set_clock(1)
    replay()
    assert optimizer.lr_history()["step"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 1, 1]


# --- which step -----------------------------------------------------------------------------------------------------


def _groups(*places: str) -> list[dict[str, Any]]:
    return [{"params": [SimpleNamespace(device=torch.device(place))]} for place in places]


def test_which_step_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    why = ["there is no driver"]
    monkeypatch.setattr(cuda, "reason", lambda index=0: why[0] if index < 3 else "too old")
    first = torch.device("cuda", 0)
    found = choose("auto", _groups("cuda:0", "cuda:0"))
    assert (found.module, found.device, found.why) == (None, None, "there is no driver")
    with pytest.raises(RuntimeError, match="backend='native' cannot run: there is no driver"):
        choose("native", _groups("cuda:0"))
    why[0] = ""
    for backend in ("auto", "native"):
        assert choose(backend, _groups("cuda:0", "cuda:0")).device == first
        assert choose(backend, _groups("cpu"))[:2] == (native.extension(), None)
    assert choose("auto", _groups("cuda:3")).why == "too old"
    assert choose("python", _groups("cuda:0"))[:2] == (None, None)
    assert choose("emulated", _groups("cpu")).device == torch.device("cpu")
    for places in (("cuda:0", "cpu"), ("cuda:0", "cuda:1")):
        assert "a fused step runs on one device" in choose("auto", _groups(*places)).why
    assert "xpu" in choose("auto", _groups("xpu:0")).why
    for backend, places in (("emulated", ["cuda:0"]), ("native", ["cuda:0", "cpu"]), ("native", ["xpu:0"])):
        with pytest.raises(RuntimeError, match="cannot run"):
            choose(backend, _groups(*places))


@pytest.mark.parametrize("backend", ["native", "emulated"])
@pytest.mark.parametrize("begin", ["step", "init_state"])
def test_parameters_that_go_elsewhere(begin: str, backend: str) -> None:
    """As by ``model.cuda()`` after the optimizer was made: another step may be needed."""
    ours, theirs = make("adamw", backend, schedule="linear(9)"), make("adamw", "native", schedule="linear(9)")
    before = ours._stepper
    _went_elsewhere(ours)
    for side in (ours, theirs):
        members(side)[0].data = members(side)[0].data.clone()
        fill(side, 0)
        getattr(side, begin)()
        side.step()
    assert ours._stepper is not before
    assert told(ours) == told(theirs)


def _went_elsewhere(optimizer: Any) -> None:
    """As if the parameters had been on another device when the stepper was made."""
    optimizer._stepper._devices = [torch.device("meta")] * len(members(optimizer))


@pytest.mark.parametrize(("one", "other"), [("native", "emulated"), ("emulated", "native")])
@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_another_device_steps_from_now_on(kind: str, one: str, other: str) -> None:
    """Without state that would not fit there."""
    ours, theirs = make(kind, one, schedule="linear(9)"), make(kind, "native", schedule="linear(9)")
    ours._backend = other
    _went_elsewhere(ours)
    for step in range(3):
        for side in (ours, theirs):
            fill(side, step)
            side.step()
    assert ours._stepper.backend.name == other
    assert told(ours) == told(theirs)


def test_rows_are_not_filled_with_places_elsewhere() -> None:
    optimizer = make("sgd")
    optimizer.init_state()
    before = optimizer._device.rows.table["p"].tolist()
    with optimizer.rehearsal():
        _went_elsewhere(optimizer)
        members(optimizer)[0].data = members(optimizer)[0].data.clone()
    assert optimizer._device.rows.table["p"].tolist() == before


def test_a_rate_that_did_not_go_along() -> None:
    """The device writes into tensors of its own only; here one of another kind stands for one that is elsewhere."""
    rate = torch.tensor(0.5, dtype=torch.float8_e5m2)
    ours = lrdsl.AdamW(parameters([(5,)]), lr=rate, schedule="linear(8)", backend="native")
    theirs = lrdsl.AdamW(parameters([(5,)]), lr=0.5, schedule="linear(8)", backend="native")
    ours._backend = "emulated"
    _went_elsewhere(ours)
    for step in range(3):
        for side in (ours, theirs):
            fill(side, step)
            side.step()
    ours.sync()
    assert bits(ours) == bits(theirs)
    assert ours.param_groups[0]["lr"].dtype == torch.float32 and ours.param_groups[0]["lr"] == 0.5 * 5 / 8


def test_the_device_is_compared() -> None:
    """An empty parameter has the same address everywhere."""
    p = Parameter(torch.ones(0, 3))
    there = Parameter(torch.ones(0, 3, device="meta"))
    assert batch._form(p) != batch._form(there)
    groups: list[dict[str, Any]] = [{"params": [p]}]
    found = batch.Batch(groups)
    found.collect()
    found.accept()
    found.params[0] = there  # as ``p.data = ...`` does between a CPU and a GPU
    found.collect()
    assert found.changed


# --- variants -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", accelerator.VARIANTS)
@pytest.mark.parametrize("text", TEXTS)
def test_variants(variant: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(accelerator.VARIABLE, variant)
    ours, theirs = (make("adamw", backend, schedule=TEXTS[text]) for backend in ("emulated", "native"))
    assert handle(ours).variant == variant
    for step in range(6):
        for side in (ours, theirs):
            fill(side, step)
            if "loss" in (TEXTS[text] or ""):
                side.observe(math.sin(step))
            side.found_inf = torch.tensor(float(step == 2))
            side.step()
    assert told(ours) == told(theirs)
    monkeypatch.setenv(accelerator.VARIABLE, "other")
    with pytest.raises(ValueError, match="LRDSL_CUDA_VARIANT"):
        make("adamw")


def test_the_norm_follows_memory_that_grows() -> None:
    optimizer = make("momentum", max_grad_norm=1.0)
    first, *rest = members(optimizer)
    first.grad = torch.ones_like(first)
    optimizer.step()
    optimizer.init_state()  # makes room for all
    optimizer.step()
    assert optimizer._device.tables.partials == optimizer._device.partials(1)
    assert rest[0].grad is None
    assert optimizer.grad_norm == math.sqrt(first.numel())


def test_a_captured_step_without_a_norm_refuses_who_listens_to_it() -> None:
    optimizer = make("sgd", schedule="hold()")
    optimizer.init_state()
    replay = captured(optimizer)
    before = fingerprint(optimizer)
    with pytest.raises(RuntimeError, match="does not measure the norm of the gradients"):
        optimizer.reschedule("hold() | plateau(metric=grad_norm)")
    assert fingerprint(optimizer) == before
    assert str(optimizer.schedules[0]) == "hold()"
    replay()
    assert optimizer.clock == 1


def test_a_captured_norm_serves_who_listens_later() -> None:
    text = "hold() | plateau(metric=grad_norm, patience=0, factor=0.5)"
    sides = [make("sgd", backend, schedule="hold()", max_grad_norm=1e9) for backend in ("native", "emulated")]
    sides[1].init_state()
    replay = captured(sides[1])
    for optimizer in sides:
        optimizer.reschedule(text)
    for step in range(6):
        for optimizer, act in zip(sides, (sides[0].step, replay), strict=True):
            fill(optimizer, step % 2)
            act()
    assert told(sides[0])[:2] == told(sides[1])[:2]
    assert bits(sides[0]) == bits(sides[1])
    assert sides[0].param_groups[0]["lr"] == sides[1].param_groups[0]["lr"] < 0.1


def test_new_state_has_not_started() -> None:
    sides = [make("momentum", backend, dampening=0.5) for backend in ("native", "emulated")]
    for optimizer in sides:
        for step in range(2):
            fill(optimizer, step)
            optimizer.step()
            if step == 0:
                optimizer.state.clear()
                optimizer.init_state()
    assert told(sides[0]) == told(sides[1])


def test_what_is_shown_is_exact_whoever_waited_first() -> None:
    optimizer = make("adamw", schedule="hold() | plateau(patience=0, factor=0.5)")
    fill(optimizer, 0)
    optimizer.step()
    optimizer.sync()
    handle(optimizer).lag = 20
    losses = [torch.tensor(float(k)) for k in range(4)]
    optimizer.step()
    for loss in losses:
        optimizer.observe(loss)
    optimizer.init_state()  # waits for the device, for reasons of its own
    optimizer.sync()
    assert optimizer.param_groups[0]["lr"] == 0.01 / 8
    assert optimizer.state_dict()["param_groups"][0]["lr"] == 0.01 / 8
