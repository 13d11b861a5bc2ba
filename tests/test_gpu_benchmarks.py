"""The benchmarks for CUDA devices run, as far as that can be seen on the CPU; what they measure here means nothing."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from benchmarks import harness  # noqa: E402
from benchmarks.gpu import __main__ as command  # noqa: E402
from benchmarks.gpu import device as cuda  # noqa: E402
from benchmarks.gpu import step, traffic, workload  # noqa: E402
from benchmarks.gpu.bench import Bench  # noqa: E402
from benchmarks.gpu.device import Cuda, Host  # noqa: E402
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
    assert command.slug("NVIDIA H200") == "nvidia-h200"
    assert command.slug("NVIDIA A100-SXM4-80GB (MIG)") == "nvidia-a100-sxm4-80gb-mig"


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


# --- the code for CUDA, over a stand-in for torch's ------------------------------------------------------------------


class Recorded:
    """An event on this machine's clock; the host is always ahead of it."""

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing
        self._time = 0.0

    def record(self) -> None:
        self._time = time.perf_counter()

    def query(self) -> bool:
        return False

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, end: Recorded) -> float:
        return 1e3 * (end._time - self._time)


class Graph:
    """Captures nothing, so that a replay has nothing to do."""

    def __init__(self) -> None:
        self.replays = 0

    def replay(self) -> None:
        self.replays += 1


class Pretended(Cuda):
    """A CUDA device that is this machine, with toy sizes."""

    rounds = 2
    copied = Host.copied
    backend = "auto"
    shapes, groups, steps = Host.shapes, Host.groups, Host.steps
    TENSORS, EXTENT, GROUPS, STEPS = Host.TENSORS, Host.EXTENT, Host.GROUPS, Host.STEPS

    def __init__(self) -> None:
        super().__init__()
        self.place = torch.device("cpu")

    def object_of(self, opt: Any) -> Any:
        return Host().object_of(opt)


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Puts the stand-in where torch's CUDA is; returns what was done there."""
    done: list[str] = []
    stream = SimpleNamespace(wait_stream=lambda other: done.append("wait"))
    about = SimpleNamespace(
        name="Stand-in 1", major=9, minor=0, multi_processor_count=1, total_memory=80 << 30, uuid="none"
    )
    stand_ins: dict[str, Any] = {
        "current_device": lambda: 0,
        "get_device_properties": lambda place: about,
        "synchronize": lambda: done.append("synchronize"),
        "empty_cache": lambda: done.append("empty"),
        "_sleep": lambda cycles: done.append("spin"),
        "current_stream": lambda: stream,
        "Stream": lambda: stream,
        "stream": lambda chosen: nullcontext(),
        "graph": lambda graph: nullcontext(),
        "CUDAGraph": Graph,
        "Event": Recorded,
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(command, "Cuda", Pretended)
    monkeypatch.setattr(command, "obstacle", lambda: "")
    monkeypatch.setattr(cuda, "gc", SimpleNamespace(collect=lambda: done.append("collect")))
    monkeypatch.setattr(cuda, "_our_step", lambda: "native: a stand-in")
    return done


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - {"launches"}))
def test_the_code_for_cuda_runs(name: str, pretended: list[str], results: Path) -> None:
    assert command.main(["--only", name]) == 0
    record = json.loads((results / f"gpu-{name}-stand-in-1.json").read_text("utf-8"))
    assert record["device"].keys() >= {"name", "capability", "memory", "driver", "runtime", "step"}
    assert len(record["results"]) == CASES[name]
    for case in record["results"].values():
        assert case.keys() >= FIELDS[name]
    assert {"synchronize", "empty"} <= set(pretended)


def test_a_profiler_that_sees_no_kernel_is_no_answer(pretended: list[str], results: Path) -> None:
    assert command.main(["--only", "launches"]) == 1
    record = json.loads((results / "gpu-launches-stand-in-1.json").read_text("utf-8"))
    assert all("the profiler saw no kernel" in case["failed"] for case in record["results"].values())


def test_a_capture_is_warmed_up_aside_and_replayed(pretended: list[str]) -> None:
    calls: list[int] = []
    replay = Pretended().captured(lambda: calls.append(1))
    assert len(calls) == 4  # three before, one into the graph
    assert pretended.count("wait") == 2
    replay()
    assert len(calls) == 4
