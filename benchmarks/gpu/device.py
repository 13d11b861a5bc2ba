"""Where a benchmark runs: a CUDA device, or, to try the benchmarks themselves, this machine with toy sizes."""

from __future__ import annotations

import gc
import subprocess
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial, reduce
from types import SimpleNamespace
from typing import Any

import torch

import lrdsl
from benchmarks.gpu.trace import Trace, traced
from benchmarks.gpu.turns import Call, HostTurn, KernelTurn, Turn, WallTurn
from benchmarks.shapes import Shape

GIB = 1 << 30
PLACES = ("_schedule.accelerator.handle", "device")
"""Where a step keeps the native object that launches for it."""


class Device(ABC):
    """What a question needs to know of a device.

    Attributes:
        place: Where tensors are made.
        backend: Which step of ours is measured; never one that it would fall back to.
        rounds: How many there are; None: as many as the time allows.
        memory: Bytes.
        copied: Bytes that one copy reads, when the bandwidth is measured.
        captures: Whether calls can be captured in a graph.
    """

    place: torch.device
    backend: str
    rounds: int | None = None
    memory: int
    copied: int
    captures: bool

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until the device has done everything."""

    @abstractmethod
    def kernel(self, call: Call, once: bool) -> Turn:
        """Times what the device does."""

    @abstractmethod
    def captured(self, call: Call) -> Call:
        """The same as a graph that is replayed."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What this device is."""

    def turn(self, clock: str, call: Call, once: bool) -> Turn:
        """A turn timed by ``kernel``, ``wall`` or ``host``."""
        make: dict[str, Callable[[Call, bool], Turn]] = {
            "kernel": self.kernel,
            "wall": partial(WallTurn, synchronize=self.synchronize),
            "host": partial(HostTurn, synchronize=self.synchronize),
        }
        return make[clock](call, once)

    def trace(self, call: Call, steps: int) -> Trace:
        """What some calls do, counted."""
        return traced(call, steps, self.synchronize)

    def shapes(self, shapes: Sequence[Shape]) -> list[Shape]:
        """Those that are measured."""
        return list(shapes)

    def groups(self, count: int) -> int:
        """How many of these are measured."""
        return count

    def steps(self, count: int) -> int:
        """How many of these are traced."""
        return count

    @abstractmethod
    def clear(self) -> None:
        """Give memory back."""

    def object_of(self, opt: Any) -> Any:
        """The native object that launches for this optimizer: its ``variant`` can be set, its ``launches`` read."""
        backend = opt._stepper.backend
        return next((found for place in PLACES if hasattr(found := _at(backend, place), "variant")), None)


class Cuda(Device):
    """The current CUDA device."""

    backend = "native"
    copied = 2 * GIB
    captures = True

    def __init__(self) -> None:
        self.place = torch.device("cuda", torch.cuda.current_device())
        self._about = torch.cuda.get_device_properties(self.place)
        self.memory = self._about.total_memory
        self._cycles = self._calibrate()

    def _calibrate(self, cycles: int = 20_000_000) -> float:
        """Cycles of the spinning kernel in one second."""
        events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
        for _ in range(2):
            events[0].record()
            torch.cuda._sleep(cycles)
            events[1].record()
            events[1].synchronize()
        seconds: float = events[0].elapsed_time(events[1]) / 1e3
        return cycles / seconds

    def synchronize(self) -> None:
        torch.cuda.synchronize()

    def kernel(self, call: Call, once: bool) -> Turn:
        return KernelTurn(
            call,
            once,
            self.synchronize,
            spin=lambda seconds: torch.cuda._sleep(int(seconds * self._cycles)),
            event=lambda: torch.cuda.Event(enable_timing=True),
        )

    def captured(self, call: Call) -> Call:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # torch wants the calls before a capture on a stream of their own
            for _ in range(3):
                call()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
        self.synchronize()

        def replay() -> None:
            graph.replay()

        replay.call = call  # type: ignore[attr-defined]  # whose memory the graph uses
        return replay

    def clear(self) -> None:
        gc.collect()
        self.synchronize()
        torch.cuda.empty_cache()

    def facts(self) -> dict[str, Any]:
        about = self._about
        return {
            "name": about.name,
            "capability": f"{about.major}.{about.minor}",
            "multiprocessors": about.multi_processor_count,
            "memory": about.total_memory,
            "driver": _query("driver_version", about),
            "runtime": torch.version.cuda,
            "clock_limit": _query("clocks.max.sm", about),
            "power_limit": _query("power.limit", about),
            "step": _our_step(),
        }


class Host(Device):
    """This machine, with few and tiny tensors and one round: its figures mean nothing."""

    place = torch.device("cpu")
    backend = "auto"
    rounds = 1
    memory = 0
    copied = 1 << 10
    captures = False

    TENSORS, EXTENT, GROUPS, STEPS = 12, 3, 3, 2

    def synchronize(self) -> None:
        pass

    def kernel(self, call: Call, once: bool) -> Turn:
        return WallTurn(call, True, self.synchronize)

    def captured(self, call: Call) -> Call:
        return call

    def clear(self) -> None:
        pass  # there is none to speak of

    def facts(self) -> dict[str, Any]:
        return {"name": "this machine, with toy sizes"}

    def shapes(self, shapes: Sequence[Shape]) -> list[Shape]:
        return [tuple(min(extent, self.EXTENT) for extent in shape) for shape in shapes[: self.TENSORS]]

    def groups(self, count: int) -> int:
        return min(count, self.GROUPS)

    def steps(self, count: int) -> int:
        return min(count, self.STEPS)

    def object_of(self, opt: Any) -> Any:
        return super().object_of(opt) or SimpleNamespace(variant="advance", launches=0)


def obstacle() -> str:
    """Why nothing can be measured on a CUDA device; empty if it can."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own about a driver, which is said below
        if not torch.backends.cuda.is_built():
            return "this torch is built without CUDA"
        if not torch.cuda.is_available():
            return "torch finds no CUDA device"
    try:
        _our_step()
    except RuntimeError as error:
        return str(error)
    return ""


def _our_step() -> str:
    """Which step of ours is measured, in the words of `lrdsl.AdamW.doctor`."""
    weight = torch.nn.Parameter(torch.zeros(1, device="cuda"))
    found = lrdsl.AdamW([weight], backend=Cuda.backend).doctor()
    return f"{found['backend']}: {found['why']}"


def _at(thing: Any, place: str) -> Any:
    """An attribute of an attribute; None where there is none."""
    return reduce(lambda found, name: getattr(found, name, None), place.split("."), thing)


def _query(what: str, about: Any) -> str:
    """What the driver says of this device, which need not be its first."""
    wanted = [f"--id=GPU-{about.uuid}"] if hasattr(about, "uuid") else []
    try:
        command = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader", *wanted]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"
