"""The clocks and counters of the benchmarks for CUDA devices, on devices that are made up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from benchmarks.gpu.trace import read, traced  # noqa: E402
from benchmarks.gpu.turns import KernelTurn, WallTurn  # noqa: E402

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


def test_the_profiler_writes_the_trace_that_is_read() -> None:
    made: list[Any] = []
    trace = traced(lambda: made.append(torch.zeros(3) + 1), 3, lambda: None)
    assert (len(made), trace.steps, trace.synchronising, trace.allocating) == (3, 3, 0, 0)
