"""Program → numbers, the same bits from each evaluator."""

import os
from array import array
from typing import Any, Protocol

from lrdsl.evaluators import native
from lrdsl.evaluators.scalar import ScalarEvaluator
from lrdsl.evaluators.vector import VectorEvaluator
from lrdsl.program.program import Program


class Evaluator(Protocol):
    """Runs one Program; the state is the caller's."""

    name: str

    def value(self, step: int, state: "array[float]") -> float:
        """The value for update `step`."""
        ...

    def values(self, steps: Any, state: "array[float]") -> Any:
        """The values for an int64 buffer of updates, as a float64 buffer."""
        ...

    def observe(self, metric: str, report: float, step: int, state: "array[float]", skipped: bool = False) -> None:
        """Take a report made before update `step`, also if that is `skipped`; `state` changes in place."""
        ...


def python_only() -> bool:
    """Has the user asked for the pure-Python path (``LRDSL_BACKEND=python``)?"""
    return os.environ.get("LRDSL_BACKEND", "") == "python"


def evaluator(program: Program, backend: str = "auto") -> Evaluator:
    """The evaluator of that name; ``auto`` is native where it is live, else Python with NumPy for arrays."""
    if backend == "auto":
        backend = "native" if native.extension() is not None and not python_only() else "vector"
    if backend == "native":
        return native.NativeEvaluator(program)
    return {"vector": VectorEvaluator, "scalar": ScalarEvaluator}[backend](program)


__all__ = ["Evaluator", "evaluator", "native", "python_only"]
