"""Faults that bit users of other libraries, one test each. Every docstring links what they met."""

from __future__ import annotations

import copy
import gc
import io
import json
import math
import os
import signal
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from torch import distributed  # noqa: E402
from torch.nn import Parameter  # noqa: E402

import lrdsl  # noqa: E402
from tests.optim.inputs import channels_last, odd_ones, sliced, transposed  # noqa: E402
from tests.optim.peers import (  # noqa: E402
    KINDS,
    STEPS,
    WITHOUT_NATIVE,
    assert_close,
    fill_gradients,
    fingerprint,
    parameters,
    twins,
)

if not WITHOUT_NATIVE:
    from tests.native.test_emulation import test_elements_beyond_2_31, test_numel_over_2_31  # noqa: F401
    # F1: sizes beyond int32 made fused optimizers read elsewhere, or silently update nothing:
    # https://github.com/pytorch/pytorch/issues/101449, https://github.com/NVIDIA/apex/issues/1654,
    # https://github.com/deepspeedai/DeepSpeed/issues/7640

TEXT = "warmup(3) >> linear(10, to=0.1x) | plateau(patience=1)"


def saved(optimizer: Any) -> dict[str, Any]:
    """The state dict as a file gives it back."""
    buffer = io.BytesIO()
    torch.save(optimizer.state_dict(), buffer)
    buffer.seek(0)
    loaded: dict[str, Any] = torch.load(buffer, weights_only=True)
    return loaded


@pytest.mark.parametrize("empty", [{0}, {2}, {4}, {0, 2, 4}, {0, 1, 2, 3, 4}], ids=str)
@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_empty_tensor_anywhere(kind: str, backend: str, empty: set[int]) -> None:
    """F2: an empty tensor last kept the others from being updated, or corrupted memory.

    https://github.com/pytorch/pytorch/issues/94865, https://github.com/pytorch/pytorch/pull/100811,
    https://github.com/NVIDIA/TransformerEngine/pull/3212
    """
    shapes = [(0, 3) if index in empty else (index + 3,) for index in range(5)]
    ours, theirs = parameters(shapes), parameters(shapes)
    start = [p.detach().clone() for p in ours]
    a, b = KINDS[kind].ours(ours, backend=backend), KINDS[kind].theirs(theirs, foreach=False)
    for step in range(3):
        fill_gradients(ours, theirs, seed=step)
        a.step()
        b.step()
    assert_close(ours, theirs, KINDS[kind].options["lr"], spread=4.0 / (1 - KINDS[kind].momentum))
    for index, (p, before) in enumerate(zip(ours, start, strict=True)):
        assert torch.equal(p, before) == (index in empty)


@pytest.mark.parametrize("layout", [transposed, channels_last, sliced, odd_ones])
@pytest.mark.parametrize("side", ["gradient", "parameter", "both"])
@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_layout_differs(kind: str, backend: str, side: str, layout: Callable[[Any], Any]) -> None:
    """F3: autograd gives gradients other strides than their parameters have; a fused step refuses or mixes them up.

    https://github.com/pytorch/pytorch/issues/106951, https://github.com/pytorch/pytorch/issues/126585,
    https://github.com/ROCm/apex/pull/97
    """
    (plain,), (given,) = parameters([(2, 3, 1, 5)]), parameters([(2, 3, 1, 5)])
    if side != "gradient":
        given = Parameter(layout(given.detach()))
    a, b = KINDS[kind].ours([plain], backend=backend), KINDS[kind].ours([given], backend=backend)
    for step in range(3):
        fill_gradients([plain], [given], seed=step)
        if side != "parameter":
            given.grad = layout(given.grad)
        a.step()
        b.step()
    assert given.stride() != plain.stride() or given.grad.stride() != plain.grad.stride()
    assert torch.equal(plain, given)


@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_overlapping_storage_refused(kind: str, backend: str) -> None:
    """F4: parameters that share memory fail at the first step at best.

    https://github.com/lucidrains/titans-pytorch/issues/64, https://github.com/monniert/dti-sprites/issues/2
    """
    wide = torch.randn(6, 4)
    for params in (
        [torch.randn(1, 3).expand(4, 3)],
        [torch.randn(9).as_strided((4, 3), (2, 1))],
        [wide, wide],
        [wide[:4], wide[3:]],
        [wide[:, :3], wide[:, 2:]],
    ):
        before = [tensor.clone() for tensor in params]
        with pytest.raises(ValueError, match=r"overlaps itself|shares memory"):
            KINDS[kind].ours([Parameter(tensor) for tensor in params], backend=backend)
        assert all(map(torch.equal, params, before))
    KINDS[kind].ours([Parameter(wide[:, :2]), Parameter(wide[:, 2:])], backend=backend)


@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_load_keeps_addresses(kind: str, backend: str) -> None:
    """F6: a load put other tensors in the state's place, while a captured graph and others held the old ones.

    https://github.com/pytorch/pytorch/issues/147288, https://github.com/pytorch/pytorch/issues/196083
    """
    params = parameters([(5,), (4, 3)])
    optimizer = KINDS[kind].ours(params, backend=backend, schedule=TEXT, lr=torch.tensor(0.1))

    def train(steps: range) -> None:
        for step in steps:
            fill_gradients(params, seed=step)
            optimizer.step()

    def places() -> list[tuple[int, int]]:
        tensors = [t for p in params for t in optimizer.state.get(p, {}).values()]
        return [(id(t), t.data_ptr()) for t in [*tensors, optimizer.param_groups[0]["lr"]]]

    train(range(2))
    checkpoint, after = saved(optimizer), [p.detach().clone() for p in params]
    train(range(2, 4))
    before, expected = places(), [p.detach().clone() for p in params]
    for p, value in zip(params, after, strict=True):
        p.data.copy_(value)
    optimizer.load_state_dict(checkpoint)
    assert places() == before and optimizer.clock == 2
    train(range(2, 4))
    assert places() == before and all(map(torch.equal, params, expected))


@pytest.mark.parametrize("backend", STEPS)
def test_step_on_any_device_loads(backend: str) -> None:
    """F6: where torch kept the count of its steps, and in which dtype, does not matter.

    https://github.com/pytorch/pytorch/issues/127197, https://github.com/pytorch/pytorch/issues/128208
    """
    counts = [torch.tensor(2.0), torch.tensor(2), torch.tensor([2.0]), 2]
    if torch.cuda.is_available():
        counts.append(torch.tensor(2.0, device="cuda"))
    for count in counts:
        params = parameters([(3,)])
        peer = torch.optim.AdamW(params)
        fill_gradients(params, seed=0)
        peer.step()
        checkpoint = copy.deepcopy(peer.state_dict())
        checkpoint["state"][0]["step"] = count
        optimizer = lrdsl.AdamW(params, backend=backend)
        optimizer.load_state_dict(checkpoint)
        optimizer.step()
        step = optimizer.state[params[0]]["step"]
        assert (step.item(), step.device.type, optimizer.clock) == (3.0, "cpu", 3)


def rate(update: int) -> float:
    """What the schedule of the next test gives."""
    return 1.0 - update / 8


@pytest.mark.parametrize("backend", STEPS)
def test_clock_counts_updates(backend: str) -> None:
    """F13: schedulers counted batches or processes, and went on where the scaler had skipped the step.

    https://github.com/huggingface/accelerate/issues/963, https://github.com/huggingface/accelerate/issues/1382,
    https://github.com/pytorch/pytorch/issues/55585
    """
    (p,) = parameters([(3,)])
    optimizer = lrdsl.SGD([p], lr=1.0, schedule="linear(8)", backend=backend)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    expected = 0
    for batch in range(12):
        scaler.scale((p * 0.1).sum()).backward()
        if batch % 3 != 2:  # gradients accumulate over three batches
            continue
        if batch == 5:
            p.grad[0] = math.inf
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        expected += batch != 5
        assert optimizer.clock == expected and optimizer.param_groups[0]["lr"] == rate(expected)
    assert (optimizer.clock, optimizer.skipped) == (3, 1)


def _train(rank: int, meeting: str, backends: list[str]) -> None:
    distributed.init_process_group("gloo", rank=rank, world_size=2, init_method=f"file://{meeting}")
    for backend in backends:
        (p,) = parameters([(3,)])
        optimizer = lrdsl.SGD([p], lr=1.0, schedule="linear(8)", backend=backend)
        for step in range(5):
            p.grad = torch.full((3,), 0.1 * (rank + 1))
            distributed.all_reduce(p.grad)
            optimizer.step()
            assert optimizer.clock == step + 1 and optimizer.param_groups[0]["lr"] == rate(step + 1)
    distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="not run: this system does not fork")
@pytest.mark.skipif(not distributed.is_available(), reason="not run: torch was built without distributed")
def test_clock_counts_updates_of_two_processes(tmp_path: Path) -> None:
    """F13: as above."""
    backends = ["python"] if WITHOUT_NATIVE else ["native", "python", "emulated"]
    args = str(tmp_path / "meeting"), backends
    torch.multiprocessing.start_processes(_train, args, nprocs=2, start_method="fork")


@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_group_added_later(kind: str, backend: str) -> None:
    """F14: a group that came after the scheduler had no base and no schedule, or made the scheduler fail.

    https://github.com/pytorch/pytorch/issues/20997, https://github.com/pytorch/pytorch/issues/104361,
    https://github.com/Lightning-AI/pytorch-lightning/issues/12141
    """
    params = parameters([(5,), (6,)])
    optimizer = KINDS[kind].ours(params[:1], lr=1.0, backend=backend, schedule="linear(8)")
    for step in range(6):
        if step == 3:
            before = fingerprint(optimizer)
            for refused in ({"params": params[1:], "lr": math.nan}, {"params": params[:1]}, {"params": 3}):
                with pytest.raises((TypeError, ValueError)):
                    optimizer.add_param_group(refused)
                assert fingerprint(optimizer) == before
            optimizer.add_param_group({"params": params[1:], "lr": 0.5})
        expected = [rate(step), 0.5 * rate(step)][: 1 + (step >= 3)]
        assert [group["lr"] for group in optimizer.param_groups] == expected
        fill_gradients(params, seed=step)
        held = params[1].detach().clone()
        optimizer.step()
        assert torch.equal(params[1], held) == (step < 3)
    assert optimizer.clock == 6


def _save_until_killed(path: str, size: int) -> None:
    """Versions 1, 2, 3, ... of a checkpoint, one after the other."""
    version = 0
    try:
        torch.set_num_threads(1)  # threads do not survive a fork
        while True:
            version += 1
            lrdsl.save_atomic({"version": version, "weights": torch.full((size,), float(version))}, path)
    finally:
        os._exit(1)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="not run: this system does not fork")
def test_torn_checkpoint(tmp_path: Path) -> None:
    """F16: a job that was killed while it saved left half a file, and nothing to go on from.

    https://github.com/Lightning-AI/pytorch-lightning/issues/688,
    https://github.com/Lightning-AI/pytorch-lightning/issues/19970, https://github.com/rwth-i6/returnn/issues/1444
    """
    path, size, random = tmp_path / "last.pt", 500_000, Random(0)
    torn = 0
    lrdsl.save_atomic({"version": 0, "weights": torch.zeros(size)}, path)
    for _ in range(20):
        writer = os.fork()
        if not writer:
            _save_until_killed(str(path), size)
        while torch.load(path, weights_only=True)["version"] == 0:  # until it writes
            assert os.waitpid(writer, os.WNOHANG) == (0, 0)
            time.sleep(0.001)
        time.sleep(random.uniform(0.0, 0.02))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        found = torch.load(path, weights_only=True)
        assert found["version"] > 0 and torch.equal(found["weights"], torch.full((size,), float(found["version"])))
        torn += len(list(tmp_path.iterdir())) > 1
        lrdsl.save_atomic({"version": 0, "weights": torch.zeros(size)}, path)
        assert [entry.name for entry in tmp_path.iterdir()] == ["last.pt"]
    assert torn  # some were killed in the middle


@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sgd"])
def test_state_shape_checked(kind: str, backend: str) -> None:
    """F17: state of another shape was taken, and failed in the middle of a later step or was broadcast.

    https://github.com/X-LANCE/text2sql-lgesql/issues/18, https://github.com/roytseng-tw/Detectron.pytorch/issues/37,
    https://github.com/pytorch/pytorch/issues/8282
    """
    params = parameters([(4, 3), (5,)])
    optimizer = KINDS[kind].ours(params, backend=backend)
    fill_gradients(params, seed=0)
    optimizer.step()
    good = saved(optimizer)
    key = next(key for key in good["state"][1] if key != "step")
    changes: list[Callable[[dict[str, Any]], Any]] = [
        lambda d: d["state"][1].update({key: torch.zeros(1)}),
        lambda d: d["state"][1].update({key: torch.zeros(5, 1)}),
        lambda d: d["state"][0].update({key: torch.zeros(3, 4)}),
        lambda d: d["state"][1].update({key: torch.zeros(5, dtype=torch.int64)}),
        lambda d: d["state"][1].update({key: 0.0}),
        lambda d: d["state"][1].update({"stranger": torch.zeros(5)}),
        lambda d: d["state"].update({2: {}}),
        lambda d: d["param_groups"][0]["params"].pop(),
        lambda d: d["param_groups"][0].update(lr=math.nan),
    ]
    if len(good["state"][1]) > 1:  # a parameter without any state is one that has not been stepped
        changes.append(lambda d: d["state"][1].pop(key))
    fill_gradients(params, seed=1)
    optimizer.step()
    before = fingerprint(optimizer)
    for change in changes:
        bad = copy.deepcopy(good)
        change(bad)
        with pytest.raises((TypeError, ValueError)):
            optimizer.load_state_dict(bad)
        assert fingerprint(optimizer) == before
    optimizer.load_state_dict(good)


@pytest.mark.parametrize("start", [2**24 + 1, 2**31 + 1, 2**40 + 1])
@pytest.mark.parametrize("backend", STEPS)
def test_counter_does_not_saturate(backend: str, start: int) -> None:
    """F18: a count in floating point stands still once the next whole number is no longer one of its values.

    https://github.com/pytorch/ao/pull/4915, https://github.com/deepspeedai/DeepSpeed/pull/8496
    """
    params = parameters([(3,), (4,)])
    optimizer = lrdsl.AdamW(params, lr=1.0, backend=backend, schedule="linear(8)")
    fill_gradients(params, seed=0)
    optimizer.step()
    checkpoint = saved(optimizer)
    checkpoint["state"][0]["step"] = torch.tensor(float(start), dtype=torch.float64)
    for group in checkpoint["param_groups"]:
        group["schedule_step"] = start
    optimizer.load_state_dict(checkpoint)
    for _ in range(2):
        for _ in range(3):
            optimizer.step()
        other = lrdsl.AdamW(twins(params), lr=1.0, backend=backend, schedule="linear(8)")
        other.load_state_dict(saved(optimizer))
        for side in (optimizer, other):
            counts = [int(state["step"]) for state in side.state.values()]
            assert counts[0] - start == counts[1] - 1 == side.clock - start
    assert optimizer.clock == start + 6


def test_plateau_composes() -> None:
    """F8: torch's plateau scheduler fits into no sequence, and a second one undoes the first.

    https://github.com/pytorch/pytorch/issues/68978, https://github.com/Lightning-AI/pytorch-lightning/issues/10759
    """
    (p,) = parameters([(3,)])
    text = "warmup(2) >> (hold(6) | plateau(0, 0.5) | plateau(1, 0.1)) >> linear(2)"
    optimizer = lrdsl.SGD([p], lr=1.0, schedule=text)
    rates = []
    for _ in range(11):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        optimizer.observe(1.0)
    # From update 2 on each report but the first is bad for both; the one made before update 8 is out of scope.
    cuts = [1.0, 0.5, 0.025, 0.0125, 6.25e-4, 3.125e-4]
    assert rates == pytest.approx([0.0, 0.5, *cuts, 3.125e-4, 1.5625e-4, 0.0], rel=1e-13)


LISTENING = {
    "plateau": "plateau(2, factor=0.9, every=3, cooldown=4, threshold=0.01)",
    "plateau, max": "plateau(1, mode=max, threshold_mode=abs, min=0.01x)",
    "guard": "guard(spike=1.05, window=20, recover=30)",
    "greedy": "greedy(2, cooldown=1, warmup=3, smooth=7)",
    "normscale": "normscale(0.7, metric=loss)",
    "together": "plateau(5, factor=0.5) | guard() | greedy(3) | normscale(0.9, metric=loss)",
}


@pytest.mark.parametrize("listening", LISTENING)
def test_plateau_resume(listening: str) -> None:
    """F9: checkpoints kept the best metric and lost the bad reports since, or how long to wait.

    https://github.com/facebookresearch/fairseq/pull/4071,
    https://github.com/huggingface/pytorch-image-models/pull/2756
    """
    text = f"warmup(20) >> cosine(400) >> hold() | {LISTENING[listening]}"
    whole, resumed = (lrdsl.compile(text, base_lr=1.0) for _ in range(2))
    random = Random(9)
    for step in range(1, 501):
        report = (
            random.choice([math.nan, math.inf]) if random.random() < 0.05 else 1 / (1 + step / 99) + random.random()
        )
        saved = resumed.state_dict()
        if step % 50 == 0:
            resumed = lrdsl.compile(text, base_lr=1.0)
        scrambled = {key: dict.fromkeys(slots, 9.0) for key, slots in saved["modifiers"].items()}
        resumed.load_state_dict(saved | {"modifiers": scrambled})
        resumed.load_state_dict(json.loads(json.dumps(saved)))
        for side in (whole, resumed):
            side.observe(report)
        assert json.dumps(resumed.state_dict()) == json.dumps(whole.state_dict())
        assert [resumed.lr(at).hex() for at in (step, step + 7)] == [whole.lr(at).hex() for at in (step, step + 7)]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_plateau_counts(mode: str) -> None:
    """F10: off by one, every report cuts after the first cut, and a best that nothing can beat any more.

    https://github.com/pytorch/pytorch/issues/119763, https://github.com/pytorch/pytorch/issues/2545,
    https://github.com/keras-team/keras/issues/3991
    """
    sign = 1.0 if mode == "min" else -1.0
    schedule = lrdsl.compile(f"hold() | plateau(2, factor=0.5, mode={mode})", base_lr=1.0)
    rates = []
    for step, report in enumerate([5, 5, math.nan, -math.inf, 4, math.inf, 6, 3, 3, 3, 3], start=1):
        schedule.observe(sign * report)
        rates.append(schedule.lr(step))
        assert math.isfinite(schedule.state_dict()["modifiers"]["lr"]["plateau.best"])
    assert rates == [1.0] * 3 + [0.5] * 7 + [0.25]


@pytest.mark.parametrize("listens", [False, True], ids=["rates", "norm"])
@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_reference_cycle(kind: str, backend: str, listens: bool) -> None:
    """F20: scheduler and optimizer held each other, so that memory of models long gone stayed.

    https://github.com/pytorch/pytorch/issues/25605, https://github.com/pytorch/pytorch/issues/85410
    """
    gc.collect()
    gc.disable()
    try:
        params = parameters([(5,), (4, 6)])
        text = TEXT.replace("patience", "metric=grad_norm, patience") if listens else TEXT
        optimizer = KINDS[kind].ours(params, backend=backend, schedule=text, zero_grads=True)
        for step in range(3):
            fill_gradients(params, seed=step)
            params[1].grad = transposed(params[1].grad)
            optimizer.step()
        optimizer.load_state_dict(saved(optimizer))
        fill_gradients(params, seed=3)
        optimizer.step()
        watched: list[Any] = [optimizer, optimizer.schedules[0], optimizer._stepper, optimizer._stepper.backend]
        watched += [*params, *(p.grad for p in params), *optimizer.state.get(params[0], {}).values()]
        refs = [weakref.ref(item) for item in watched]
        if not WITHOUT_NATIVE and backend == "native":
            assert optimizer._stepper.backend._walk is not None
        del watched, optimizer, params
        assert [ref() for ref in refs] == [None] * len(refs)
    finally:
        gc.enable()
