"""Devices that step by themselves, for tests: CUDA's, and the emulated one, on which the same tests run everywhere.

On the emulated device only launches of optimizers are captured: what torch does between them runs at once and is not
part of the graph. Tests therefore capture steps and reports alone, and feed them through tensors that stay.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import re
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar
from unittest.mock import patch

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from lrdsl import cuda
from lrdsl.optim.accelerator import Accelerator
from tests.optim.peers import WITHOUT_NATIVE

T = TypeVar("T")
Act = Callable[[], object]

SHORT = bool(os.environ.get("LRDSL_GPU_SHORT"))
"""Under a sanitizer there is no time for many steps."""
MARK = "counted"
WAITING = re.compile(r"cu(da)?(Stream|Device|Event|Ctx|Graph)Synchronize|cu(da)?Memcpy(?!.*Async)")
ALLOCATING = re.compile(r"cu(da)?(Malloc|Mem(Host)?Alloc|MemCreate|HostAlloc|HostRegister|Free|MemFree)")


@dataclass
class Seen:
    """What was done while somebody watched.

    Attributes:
        waits: Calls that wait for the device.
        allocations: Calls that take or give back its memory.
        kernels: What ran there.
    """

    waits: list[str] = field(default_factory=list)
    allocations: list[str] = field(default_factory=list)
    kernels: Counter[str] = field(default_factory=Counter)


class Device(ABC):
    """What a test needs to know of a device.

    Attributes:
        name: As the tests are called.
        backend: What to ask an optimizer for.
        place: Where tensors are made.
        real: Whether it is one: then there is room for many more steps.
    """

    name: str
    backend: str
    place: torch.device
    real: bool

    @abstractmethod
    def obstacle(self) -> str:
        """Why it is not there; empty if it is."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until everything is done."""

    @abstractmethod
    def capture(self, body: Act, *optimizers: Any, stream: Any = None) -> Act:
        """Capture a graph of what these optimizers do; gives what replays it."""

    @abstractmethod
    def refused(self, body: Act, *optimizers: Any, match: str, error: type[Exception] = RuntimeError) -> None:
        """What must raise while a graph is being captured."""

    @abstractmethod
    def watched(self) -> AbstractContextManager[Seen]:
        """Note what is done. Everything before is over by then."""

    @abstractmethod
    def stream(self) -> AbstractContextManager[Any]:
        """Another stream than the usual one, where there are several."""

    @abstractmethod
    def used(self) -> int:
        """Bytes of the device's memory, or of this process's, that are taken once rubbish is collected."""

    def amount(self, real: int, emulated: int) -> int:
        """How often something is done."""
        return real if self.real and not SHORT else emulated

    def tensor(self, value: Any, dtype: torch.dtype = torch.float32) -> Tensor:
        """One that lies there."""
        return torch.tensor(value, dtype=dtype, device=self.place)

    def parameters(self, params: Iterable[Tensor]) -> list[Parameter]:
        """Copies that lie there, with the same layout and storage in common where it was."""
        return Mover(self.place)(params)

    def handle(self, optimizer: Any) -> Any:
        """The extension's object that launches for it."""
        schedule = optimizer._writer._schedule if hasattr(optimizer, "_writer") else optimizer._device
        return schedule.accelerator.handle


class Emulated(Device):
    """The kernels' bodies on the host."""

    name, backend, place, real = "emulated", "emulated", torch.device("cpu"), False

    def obstacle(self) -> str:
        return f"not run: {WITHOUT_NATIVE}" if WITHOUT_NATIVE else ""

    def synchronize(self) -> None:
        pass

    def capture(self, body: Act, *optimizers: Any, stream: Any = None) -> Act:
        handles = list(map(self.handle, optimizers))
        for handle in handles:
            handle.begin_capture()
        try:
            body()
        finally:
            graphs = [handle.end_capture() for handle in handles]

        def replay() -> None:
            for handle, graph in zip(handles, graphs, strict=True):
                handle.replay(graph)

        return replay

    def refused(self, body: Act, *optimizers: Any, match: str, error: type[Exception] = RuntimeError) -> None:
        with pytest.raises(error, match=match):
            self.capture(body, *optimizers)

    @contextmanager
    def watched(self) -> Iterator[Seen]:
        seen = Seen()

        def noting(kept: list[str], name: str) -> Any:
            original = getattr(Accelerator, name)

            def call(self: Any, *arguments: Any) -> Any:
                kept.append(name)
                return original(self, *arguments)

            return patch.object(Accelerator, name, call)

        with (
            noting(seen.waits, "wait"),
            noting(seen.waits, "download"),
            noting(seen.allocations, "zeros"),
            noting(seen.allocations, "shared"),
        ):
            yield seen

    def stream(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def used(self) -> int:
        gc.collect()
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Cuda(Device):
    """The first CUDA device."""

    name, backend, place, real = "cuda", "native", torch.device("cuda", 0), True

    def obstacle(self) -> str:
        if not torch.backends.cuda.is_built():
            return "not run: torch has no CUDA"
        if WITHOUT_NATIVE or cuda.reason():
            return f"not run: {WITHOUT_NATIVE or cuda.reason()}"
        return "" if torch.cuda.is_available() else "not run: torch finds no CUDA device"

    def synchronize(self) -> None:
        torch.cuda.synchronize()

    def capture(self, body: Act, *optimizers: Any, stream: Any = None) -> Act:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            body()
        return graph.replay

    def refused(self, body: Act, *optimizers: Any, match: str, error: type[Exception] = RuntimeError) -> None:
        pulse = self.tensor(0.0)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            pulse.add_(1.0)  # torch warns of a graph with nothing in it
            with pytest.raises(error, match=match):
                body()
        graph.replay()  # it is a graph all the same
        assert pulse.item() == 1.0

    @contextmanager
    def watched(self) -> Iterator[Seen]:
        from torch.profiler import ProfilerActivity, profile, record_function

        seen = Seen()
        torch.cuda.synchronize()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the profiler says of itself
            with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
                with record_function(MARK):  # the profiler itself synchronises at its ends
                    yield seen
                torch.cuda.synchronize()
        events = profiler.profiler.kineto_results.events()
        (mark,) = (e for e in events if (e.name(), e.activity_type()) == (MARK, "user_annotation"))
        begin, end = mark.start_ns(), mark.end_ns()
        for event in events:
            name, kind = event.name(), event.activity_type()
            if kind == "kernel":
                seen.kernels[name] += 1
            elif kind in ("cuda_runtime", "cuda_driver") and begin <= event.start_ns() <= end:
                if WAITING.match(name):
                    seen.waits.append(name)
                elif ALLOCATING.match(name):
                    seen.allocations.append(name)
        assert any(event.activity_type() == "cuda_runtime" for event in events), "the profiler sees nothing of CUDA"

    @contextmanager
    def stream(self) -> Iterator[Any]:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            yield side
        torch.cuda.current_stream().wait_stream(side)

    def used(self) -> int:
        gc.collect()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        free, total = torch.cuda.mem_get_info()
        return total - free


EMULATED, CUDA = Emulated(), Cuda()
DEVICES = {device.name: device for device in (EMULATED, CUDA)}


# --- tensors --------------------------------------------------------------------------------------------------------


class Mover:
    """Copies tensors to a device as they lie in memory: strides, offset, and what shares storage goes on sharing it."""

    def __init__(self, place: torch.device) -> None:
        self._place = place
        self._storages: dict[int, tuple[object, Tensor]] = {}

    def tensor(self, tensor: Tensor) -> Tensor:
        """A copy of a dense tensor."""
        tensor = tensor.detach().resolve_neg()
        storage = tensor.untyped_storage()
        if storage.nbytes() == 0:
            return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=self._place)
        key = storage.data_ptr()
        if key not in self._storages:
            raw = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)
            self._storages[key] = (
                storage,
                raw.to(self._place, copy=True),
            )  # kept: its address stays its own
        moved = self._storages[key][1].untyped_storage()
        fresh = torch.empty(0, dtype=tensor.dtype, device=self._place)
        return fresh.set_(moved, tensor.storage_offset(), tensor.shape, tensor.stride())

    def __call__(self, params: Iterable[Tensor]) -> list[Parameter]:
        return [Parameter(self.tensor(p), p.requires_grad or not isinstance(p, Parameter)) for p in params]


class Gradients:
    """A few sets of gradients for some parameters, on their device; `into` copies one to where they are used.

    The tensors of the first call stay in place, so that a captured step finds later ones.
    """

    def __init__(self, sides: Sequence[Sequence[Parameter]], seed: int = 0, count: int = 8, scale: float = 1.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self._sides = sides
        sets = [
            [torch.randn(p.shape, generator=generator, dtype=torch.float64) * scale for p in sides[0]]
            for _ in range(count)
        ]
        self._sets = [
            [[grad.to(p.device, p.dtype) for grad, p in zip(grads, side, strict=True)] for side in sides]
            for grads in sets
        ]

    @torch.no_grad()
    def into(self, step: int, *, factor: float = 1.0) -> None:
        """Give every side the gradients of this step, times a factor."""
        for side, grads in zip(self._sides, self._sets[step % len(self._sets)], strict=True):
            for p, grad in zip(side, grads, strict=True):
                if p.grad is None:
                    p.grad = torch.empty_like(p)
                torch.mul(grad, factor, out=p.grad) if factor != 1.0 else p.grad.copy_(grad)


def members(optimizer: Any) -> list[Parameter]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def plain_bytes(tensor: Tensor) -> bytes:
    """The bits of a tensor, every nan as one."""
    values = tensor.detach().to("cpu").resolve_neg().contiguous().flatten()
    if values.is_floating_point():
        values = torch.where(values.isnan(), torch.full_like(values, float("nan")), values)
    return values.view(torch.uint8).numpy().tobytes()


def bits(optimizer: Any) -> list[list[tuple[str, bytes]]]:
    """Every parameter and its state."""
    return [
        [("", plain_bytes(p)), *((key, plain_bytes(value)) for key, value in optimizer.state.get(p, {}).items())]
        for p in members(optimizer)
    ]


def everything(optimizer: Any) -> tuple[str, str]:
    """A hash of parameters, state and gradients; and what is said of clock, groups and schedules."""
    digest = hashlib.sha256(repr(bits(optimizer)).encode())
    for p in members(optimizer):
        digest.update(b"" if p.grad is None else plain_bytes(p.grad))
    saved = optimizer.state_dict()
    groups = [
        {key: float(entry) if isinstance(entry, Tensor) else entry for key, entry in group.items()}
        for group in saved["param_groups"]
    ]
    for group in groups:  # when somebody last reported, which the host cannot know of a replay
        state = json.loads(group["schedule_state"])
        group["schedule_state"] = {k: v for k, v in state.items() if k != "observed"}
    return digest.hexdigest(), repr((optimizer.clock, optimizer.skipped, groups))
