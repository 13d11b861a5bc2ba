"""What a call makes the device and its driver do, counted in the profiler's trace."""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.gpu.turns import Call

MARK = "counted"
"""Name of the stretch in which calls to the runtime count: the profiler itself synchronises at its ends."""
KERNELS = {"kernel": "kernels", "gpu_memcpy": "copies", "gpu_memset": "fills"}
SYNCHRONISING = re.compile(r"cu(da)?(Stream|Device|Event|Ctx|Graph)Synchronize|cu(da)?Memcpy(?!.*Async)")
ALLOCATING = re.compile(r"cu(da)?(Malloc|Mem(Host)?Alloc|MemCreate|HostAlloc|HostRegister|Free|MemFree)")


@dataclass
class Trace:
    """Counts per step.

    Attributes:
        steps: How many were traced.
        kernels, copies, fills: What ran on the device.
        synchronising, allocating: Calls that wait for it, and calls that take or give back memory, in all.
        calls: All calls to the runtime and the driver, in all.
    """

    steps: int
    kernels: float = 0.0
    copies: float = 0.0
    fills: float = 0.0
    synchronising: int = 0
    allocating: int = 0
    calls: dict[str, int] = field(default_factory=dict)


def read(events: Iterable[Mapping[str, Any]], steps: int) -> Trace:
    """Count the events of a trace in Chrome's format."""
    whole = [event for event in events if event.get("ph") == "X"]
    begin, end = _stretch(whole)
    ran = Counter(KERNELS[event["cat"]] for event in whole if event.get("cat") in KERNELS)
    called = Counter(
        event["name"]
        for event in whole
        if event.get("cat") in ("cuda_runtime", "cuda_driver") and begin <= float(event["ts"]) <= end
    )
    return Trace(
        steps,
        **{kind: ran[kind] / steps for kind in KERNELS.values()},
        synchronising=sum(times for name, times in called.items() if SYNCHRONISING.match(name)),
        allocating=sum(times for name, times in called.items() if ALLOCATING.match(name)),
        calls=dict(called),
    )


def _stretch(events: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    marks = [event for event in events if event.get("cat") == "user_annotation" and event["name"] == MARK]
    if len(marks) != 1:
        raise RuntimeError(f"expected the mark once in the trace, got it {len(marks)} times")
    begin = float(marks[0]["ts"])
    return begin, begin + float(marks[0]["dur"])


def traced(call: Call, steps: int, synchronize: Call) -> Trace:
    """Run some steps under the profiler. What they do the first time only is to be over before."""
    activities = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * torch.cuda.is_available()]
    synchronize()
    with profile(activities=activities) as profiler:
        with record_function(MARK):
            for _ in range(steps):
                call()
        synchronize()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        return read(json.loads(path.read_text("utf-8", errors="replace"))["traceEvents"], steps)
