"""C++: the only importer of the extension, which says why it is missing or stale."""

from array import array
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from lrdsl import build_record
from lrdsl.program.opcodes import OPCODES
from lrdsl.program.program import MAGIC, Program


@cache
def _load() -> tuple[ModuleType | None, str]:
    try:
        module = import_module("lrdsl._C")
    except ImportError as error:
        record = build_record.record()
        if record is not None and record.get("state") != "built":
            return None, f"the extension was not built: {record.get('why', 'unknown reason')}"
        return None, f"the extension cannot be imported: {error}"
    expected = [(row.name, row.arity) for row in OPCODES]
    if list(module.opcodes()) != expected or getattr(module, "MAGIC", None) != MAGIC:
        return None, "the extension was built from other sources (its Programs differ): run `pip install -e .` again"
    fault = module.self_test()
    if fault:
        return None, f"the extension failed its self-test: {fault}"
    return module, ""


def extension() -> ModuleType | None:
    """``lrdsl._C``, or None where it is missing, stale or fails its self-test."""
    return _load()[0]


def reason() -> str:
    """Why there is no extension; empty if there is one."""
    return _load()[1]


class NativeEvaluator:
    """Runs one Program in C++."""

    name = "native"

    def __init__(self, program: Program) -> None:
        module = extension()
        if module is None:
            raise RuntimeError(f"no native evaluator: {reason()}")
        self.program = program
        self._native: Any = module.Program(program.pack())
        self.address: int = self._native.address  # of the packed Program
        self.value = self._native.value  # (step, state) -> float, without a Python frame in between

    def values(self, steps: Any, state: "array[float]") -> Any:
        """The values for an int64 buffer of updates."""
        steps = steps if isinstance(steps, array) or hasattr(steps, "dtype") else array("q", steps)
        out = array("d", bytes(8 * len(steps)))
        self._native.values(steps, state, out)
        return out

    def observe(self, metric: str, report: float, step: int, state: "array[float]", skipped: bool = False) -> None:
        """Take a report made before update `step`; `state` changes in place."""
        if metric in self.program.metrics:
            self._native.observe(self.program.metrics.index(metric), report, step, state, skipped)
