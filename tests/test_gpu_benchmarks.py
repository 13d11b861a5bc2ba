"""The benchmarks for CUDA devices run, as far as that can be seen on the CPU; what they measure here means nothing."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from benchmarks import harness  # noqa: E402
from benchmarks.gpu import __main__ as command  # noqa: E402
from benchmarks.gpu import step, traffic, workload  # noqa: E402
from benchmarks.gpu.bench import Bench  # noqa: E402
from benchmarks.gpu.device import Host, slug  # noqa: E402
from benchmarks.gpu.trace import read  # noqa: E402
from benchmarks.gpu.turns import KernelTurn, WallTurn  # noqa: E402
from benchmarks.shapes import count  # noqa: E402


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where results are kept."""
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    return tmp_path / "results"


def numbers(figures: Any) -> Iterator[float]:
    if isinstance(figures, dict):
        for value in figures.values():
            yield from numbers(value)
    elif isinstance(figures, int | float):
        yield figures


# --- every question -------------------------------------------------------------------------------------------------

FIELDS = {
    "bytes": {"tensors", "parameters", "groups", "floor", "rounds", "copy_bytes_per_second", "lrdsl"},
    "schedule_cost": {"tensors", "rounds", "kernel_us", "added_us", "added_share", "notes"},
    "variants": {"tensors", "kernel", "wall", "launches"},
    "neighbours": {"tensors", "kernel", "wall"},
    "launches": {"tensors", "lrdsl", "lrdsl, graph", "lrdsl, clip", "lrdsl, clip, graph", "torch fused"},
    "host": {"tensors", "host"},
    "step": {"tensors", "kernel", "wall", "absent"},
}
CASES = {"bytes": 30, "schedule_cost": 6, "variants": 8, "neighbours": 6, "launches": 5, "host": 2, "step": 48}


def test_every_question_is_tried_here() -> None:
    assert command.QUESTIONS.keys() == FIELDS.keys() == CASES.keys()


@pytest.mark.parametrize("name", FIELDS)
def test_every_case_of_a_question_has_figures(name: str) -> None:
    bench = Bench(Host())
    figures = json.loads(json.dumps(command.answer(name, bench)))
    assert (bench.failed, bench.not_run, len(figures)) == ([], {}, CASES[name])
    for case, row in figures.items():
        assert row.keys() >= FIELDS[name], case
        assert all(math.isfinite(number) for number in numbers(row)), case


def test_a_race_compares_with_ours() -> None:
    figures = Bench(Host()).compare("a case", {"lrdsl": int, "other": int}, ("kernel", "wall", "host"))
    assert list(figures) == ["kernel", "wall", "host"]
    for clock in figures.values():
        assert clock["rounds"] == 1
        assert clock["peers"]["lrdsl"]["ratio"] == 1.0
        assert clock["peers"]["other"].keys() >= {"median_us", "ratio", "ratio_low", "ratio_high", "calls"}


# --- the command ----------------------------------------------------------------------------------------------------


def test_without_a_device_nothing_is_run_or_kept(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "obstacle", lambda: "no CUDA device")
    assert command.main([]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "bytes: not run: no CUDA device"
    assert said[-1] == "7 of 7 questions not run"
    assert not results.exists()


def test_a_dry_run_is_not_kept(results: Path) -> None:
    assert command.main(["--dry-run", "--only", "host"]) == 0
    assert not results.exists()


def test_a_run_is_kept_with_what_is_needed_to_repeat_it(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "obstacle", lambda: "")
    monkeypatch.setattr(command, "Cuda", Host)
    assert command.main(["--quick", "--only", "host"]) == 0
    (path,) = results.iterdir()
    record = json.loads(path.read_text("utf-8"))
    assert path.name == "gpu-host-this-machine-with-toy-sizes.json"
    assert record["command"] == "python -m benchmarks.gpu --quick --only host"
    assert record.keys() >= {"date", "commit", "versions", "machine", "device", "peers", "target", "results"}


def test_a_case_that_fails_or_comes_too_late_leaves_the_others_alone(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> dict[str, Any]:
        raise ValueError("expected")

    def exhaust() -> dict[str, Any]:
        raise torch.OutOfMemoryError

    bench = Bench(Host())
    figures = bench.cases({"bad": fail, "large": exhaust, "good": lambda: {"figure": 1}})
    assert figures == {
        "bad": {"failed": "ValueError: expected"},
        "large": {"not run": "out of memory"},
        "good": {"figure": 1},
    }
    assert bench.failed == ["bad"]
    bench.deadline = time.monotonic() - 1
    assert bench.cases({"late": fail}) == {"late": {"not run": "out of time"}}
    assert bench.not_run == {"large": "out of memory", "late": "out of time"}


def test_a_failed_case_fails_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command.host, "Workload", None)
    assert command.main(["--dry-run", "--only", "host"]) == 1


def test_names_of_files() -> None:
    assert slug("NVIDIA H200") == "nvidia-h200"
    assert slug("NVIDIA A100-SXM4-80GB (MIG)") == "nvidia-a100-sxm4-80gb-mig"


# --- what is compared -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gib", "ranks"), [(139, 8), (79, 8), (24, 16)])
def test_small_cards_take_a_smaller_shard(gib: int, ranks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Host()
    monkeypatch.setattr(device, "memory", gib << 30)
    assert count(workload.models(device)[workload.LARGE]) * ranks == 8_030_261_248


def test_masters_take_gradients_and_give_values_back() -> None:
    work = workload.Workload(Host(), [(3,)], dtype=torch.bfloat16)
    masters = workload.Masters(work.parameters())
    masters.take_gradients()
    (own,), (master,) = masters.made, masters.stepped
    assert master.dtype == torch.float32
    assert torch.equal(master.grad, own.grad.float())
    with torch.no_grad():
        master.fill_(1.5)
    masters.give_back()
    masters.zero()
    assert (own.tolist(), own.grad.tolist()) == ([1.5] * 3, [0.0] * 3)


@pytest.mark.parametrize("graph", [False, True])
def test_torch_steps_as_we_do(graph: bool) -> None:
    """Same parameters, same schedule: the peers do the same work."""
    work = workload.Workload(Host(), [(3, 3), (3,)], 2)
    made, theirs = work.parameters(), work.parameters()
    steps = work.lrdsl(made).step, work.torch_step(theirs, graph=graph, fused=True)
    for _ in range(100):
        for take in steps:
            take()
    for p, q, before in zip(made, theirs, work.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-6)
        assert (p - before).abs().max() > 1e-3


def test_floors_follow_from_the_bytes_of_each_stream() -> None:
    """Independently: what is read and written per parameter."""
    for name, kind in traffic.KINDS.items():
        low = 2 if "bf16" in name else 4
        parameter = low if "masters" in name else 2 * low  # with masters it is only written
        moments = {"SGD fp32": 0, "SGD fp32, momentum": 1}.get(name, 3 if "amsgrad" in name else 2)
        streams = parameter + low + 8 * moments + 8 * ("masters" in name)
        assert kind.floor == streams + low * ("clip" in name) + low * ("zero" in name), name


def test_targets_name_the_cases(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench(Host(), deadline=time.monotonic() - 1)
    command.answer("step", bench)
    assert step.TARGET in capsys.readouterr().out
    assert "GPT-2 124M, bf16 with masters, 100 groups, graph" in bench.not_run


# --- clocks ---------------------------------------------------------------------------------------------------------


class Stream:
    """A device that does what it is told in order, and a host that needs time to tell it. Seconds."""

    def __init__(self, issue: float, work: float) -> None:
        self.host = self.device = 0.0
        self.issue, self.work = issue, work

    def call(self) -> None:
        self.host += self.issue
        self.device = max(self.device, self.host) + self.work

    def spin(self, seconds: float) -> None:
        self.device = max(self.device, self.host) + seconds

    def synchronize(self) -> None:
        self.host = self.device = max(self.host, self.device)

    def event(self) -> Event:
        return Event(self)

    def turn(self, once: bool = False, call: Callable[[], None] | None = None) -> KernelTurn:
        return KernelTurn(call or self.call, once, self.synchronize, self.spin, self.event)


class Event:
    def __init__(self, stream: Stream) -> None:
        self._stream, self._time = stream, 0.0

    def record(self) -> None:
        self._time = max(self._stream.device, self._stream.host)

    def query(self) -> bool:
        return self._time <= self._stream.host

    def synchronize(self) -> None:
        self._stream.host = max(self._stream.host, self._time)

    def elapsed_time(self, end: Event) -> float:
        return 1e3 * (end._time - self._time)


@pytest.mark.parametrize("issue", [1e-5, 1e-3, 1e-2])
@pytest.mark.parametrize("work", [1e-4, 1e-2])
def test_the_kernel_clock_leaves_out_the_host(issue: float, work: float) -> None:
    turn = Stream(issue, work).turn()
    turn.settle()
    assert turn() == pytest.approx(work)
    assert turn.notes()["paced_by_host"] is False


def test_the_kernel_clock_calls_once_if_asked_to() -> None:
    turn = Stream(1e-5, 1e-4).turn(once=True)
    turn.settle()
    assert turn.repeat == 1


def test_a_host_that_cannot_be_ahead_is_named() -> None:
    stream = Stream(1e-3, 1e-4)

    def waiting() -> None:
        stream.call()
        stream.synchronize()

    turn = stream.turn(call=waiting)
    turn.settle()
    assert turn.notes() == {"calls": 1, "paced_by_host": True}
    assert turn() == pytest.approx(1e-3 + 1e-4)


def test_the_wall_clock_waits_at_both_ends() -> None:
    said: list[str] = []
    turn = WallTurn(lambda: said.append("call"), False, lambda: said.append("wait"))
    turn.repeat = 2
    assert turn() > 0
    assert said == ["wait", "call", "call", "wait"]


# --- the profiler's trace -------------------------------------------------------------------------------------------


def event(category: str, name: str, ts: float, dur: float = 1.0) -> dict[str, Any]:
    return {"ph": "X", "cat": category, "name": name, "ts": ts, "dur": dur}


def test_what_a_trace_says_of_a_step() -> None:
    inside = (
        "cudaLaunchKernel",
        "cudaLaunchKernelExC",
        "cudaStreamSynchronize",
        "cudaMemcpyAsync",
        "cudaMemcpy",
        "cudaMalloc",
        "cudaStreamIsCapturing",
        "cudaFuncGetAttributes",
        "cuMemcpyHtoD_v2",
        "cuMemAlloc_v2",
        "cudaEventQuery",
    )
    trace = read(
        [
            event("user_annotation", "counted", 10, 100),
            event("gpu_user_annotation", "counted", 12, 100),
            {"ph": "M", "name": "process_name"},
            *(event("cuda_runtime" if "cuda" in name else "cuda_driver", name, 20) for name in inside),
            event("cuda_runtime", "cudaDeviceSynchronize", 111),  # the profiler's own
            event("kernel", "advance", 30),
            event("kernel", "update", 40),
            event("kernel", "update", 140),  # the device may be late
            event("kernel", "update", 150),
            event("gpu_memcpy", "Memcpy HtoD", 35),
        ],
        steps=2,
    )
    assert (trace.kernels, trace.copies, trace.fills) == (2.0, 0.5, 0.0)
    assert (trace.synchronising, trace.allocating) == (3, 2)
    assert trace.calls == dict.fromkeys(inside, 1)


def test_a_trace_without_its_mark_is_refused() -> None:
    with pytest.raises(RuntimeError, match="0 times"):
        read([], steps=1)
