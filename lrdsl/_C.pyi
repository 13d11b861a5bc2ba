"""The native module: the schedule evaluator and the optimizer step on the CPU. Absent where it could not be built."""

from array import array
from typing import Any, Final

# ---- the evaluator ----

class Program:
    """A verified Program; ValueError if its bytes are not one."""

    def __init__(self, packed: bytes) -> None: ...
    def value(self, step: int, state: array[float]) -> float: ...
    def values(self, steps: Any, state: array[float], out: Any) -> None: ...
    def observe(self, metric: int, report: float, step: int, state: array[float]) -> None: ...
    @property
    def address(self) -> int: ...

def opcodes() -> list[tuple[str, int]]: ...
def self_test() -> str: ...

# ---- the optimizer step ----

# (name, NumPy format, offset) of the fields of one record, and its size in bytes.
ROW_DTYPE: Final[list[tuple[str, str, int]]]
ROW_SIZE: Final[int]
HYPER_DTYPE: Final[list[tuple[str, str, int]]]
HYPER_SIZE: Final[int]
CONTROL_DTYPE: Final[list[tuple[str, str, int]]]
CONTROL_SIZE: Final[int]

def step(kind: int, rows: int, n_rows: int, hypers: int, n_groups: int, control: int, threads: int) -> bool: ...
def norm(rows: int, n_rows: int, control: int, threads: int) -> None: ...

# What the walk calls in torch; their addresses; a tensor as it sees it.
TORCH_SYMBOLS: Final[list[str]]

def bind_torch(
    addresses: dict[str, int], offset: int, keys_offset: int, plain_keys: int, without_gradient: Any
) -> None: ...
def describe(tensor: Any) -> tuple[Any, ...]: ...

SKIPPED: Final[int]
APPLIED: Final[int]
INDIRECT: Final[int]
CHANGED: Final[int]

class Walk:
    """Compares what a step would touch with what its rows were made for; `step` and `norm` return one of the above."""

    def __init__(
        self,
        groups: list[dict[str, Any]],
        parameters: list[Any],
        state: dict[Any, dict[str, Any]],
        tensor_type: type,
        rows: int,
    ) -> None: ...
    def holds(self) -> bool: ...
    def accept(self, planned: list[int], detours: list[int]) -> list[object]: ...
    def step(self, kind: int, hypers: int, n_groups: int, control: int, threads: int) -> int: ...
    def norm(self, control: int, threads: int) -> int: ...

class Publisher:
    """Writes scheduled values into groups. A cell is (group, key, part or -1, Program, slots, origin, address)."""

    def __init__(
        self,
        groups: list[dict[str, Any]],
        keys: list[str],
        cells: list[tuple[int, str, int, int, array[float], int, int]],
        values: array[float],
        objects: list[object],
    ) -> None: ...
    def watch(self) -> None: ...
    def same(self) -> bool: ...
    def publish(self, clock: int) -> bool: ...

# The device's kernels on a host grid, for tests.
def emulate(
    kind: int,
    rows: int,
    n_rows: int,
    hypers: int,
    n_groups: int,
    control: int,
    blocks: int,
    seed: int = 0,
    threads: int = 1,
    variant: int = 0,
) -> bool: ...
def emulate_norm(rows: int, n_rows: int, control: int, blocks: int, seed: int = 0, threads: int = 1) -> None: ...
def chunks(rows: int, n_rows: int, wanted: int) -> list[tuple[int, int, int]]: ...

class Emulation:
    """A captured step. A target is (Program, slots, origin, group, field), a listener (target, mailbox, metric)."""

    clock: int
    def __init__(
        self,
        kind: int,
        rows: int,
        n_rows: int,
        hypers: int,
        n_groups: int,
        control: int,
        blocks: int,
        variant: int,
        targets: list[tuple[int, int, int, int, int]],
        listeners: list[tuple[int, int, int]],
        n_mailboxes: int,
    ) -> None: ...
    def replay(self, count: int, blocks: int, seed: int = 0, threads: int = 1) -> None: ...
    def keep_last(self, count: int) -> None: ...
    def report(self, mailbox: int, value: float) -> None: ...
    def plan(self, target: int, program: int) -> None: ...
    @property
    def faults(self) -> list[int]: ...

# ---- the build ----

def isa() -> str: ...
def isas() -> tuple[str, ...]: ...
def set_isa(name: str) -> None: ...
def openmp() -> int: ...
