"""The two number systems a formula runs in: Python floats, and NumPy arrays of them.

Every opcode and every elementary function is written once over one of these
namespaces. Only operations that IEEE 754 rounds correctly appear here, so both
systems, and the C++ mirror of this file, give the same bits. Python raises on
``1 / 0``, ``sqrt(-1)`` and ``floor(inf)`` where the hardware answers; ``Floats``
restores the hardware's answer.
"""

import math
from typing import Any, Protocol


class Arithmetic(Protocol):
    """What a formula may use besides ``+ - *`` and comparisons."""

    def select(self, condition: Any, yes: Any, no: Any) -> Any: ...
    def number(self, condition: Any) -> Any: ...
    def divide(self, a: Any, b: Any) -> Any: ...
    def sqrt(self, a: Any) -> Any: ...
    def floor(self, a: Any) -> Any: ...
    def ceil(self, a: Any) -> Any: ...
    def absolute(self, a: Any) -> Any: ...
    def split(self, a: Any) -> tuple[Any, Any]: ...
    def power_of_two(self, k: Any) -> Any: ...


class Floats:
    """Python floats, one number at a time."""

    @staticmethod
    def select(condition: bool, yes: float, no: float) -> float:
        return yes if condition else no

    @staticmethod
    def number(condition: bool) -> float:
        return 1.0 if condition else 0.0

    @staticmethod
    def divide(a: float, b: float) -> float:
        if b != 0.0:
            return a / b
        if a == 0.0 or a != a or b != b:
            return math.nan
        return math.copysign(math.inf, a) * math.copysign(1.0, b)

    @staticmethod
    def sqrt(a: float) -> float:
        return math.sqrt(a) if a >= 0.0 else math.nan

    @staticmethod
    def floor(a: float) -> float:
        # Above 2**52 every double is whole; -0.0 keeps its sign, nan and inf pass.
        return float(math.floor(a)) if abs(a) < 2.0**52 and a != 0.0 else a

    @staticmethod
    def ceil(a: float) -> float:
        return math.copysign(math.ceil(a), a) if abs(a) < 2.0**52 else a

    @staticmethod
    def absolute(a: float) -> float:
        return abs(a)

    @staticmethod
    def split(a: float) -> tuple[float, float]:
        """Mantissa in [0.5, 1) and exponent of a positive finite number."""
        mantissa, exponent = math.frexp(a)
        return mantissa, float(exponent)

    @staticmethod
    def power_of_two(k: float) -> float:
        """``2 ** k`` for a whole ``k`` in the normal range."""
        return math.ldexp(1.0, int(k))


class Arrays:
    """NumPy arrays, elementwise. NumPy is imported on first use: a plain ``compile`` needs none."""

    def __init__(self) -> None:
        import numpy

        self.select: Any = numpy.where
        self.divide: Any = numpy.divide
        self.sqrt: Any = numpy.sqrt
        self.floor: Any = numpy.floor
        self.ceil: Any = numpy.ceil
        self.absolute: Any = numpy.abs
        self._numpy: Any = numpy

    def number(self, condition: Any) -> Any:
        return self._numpy.where(condition, 1.0, 0.0)

    def split(self, a: Any) -> tuple[Any, Any]:
        mantissa, exponent = self._numpy.frexp(a)
        return mantissa, exponent.astype(self._numpy.float64)

    def power_of_two(self, k: Any) -> Any:
        return self._numpy.ldexp(1.0, k.astype(self._numpy.int32))


FLOATS = Floats()
