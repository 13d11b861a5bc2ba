"""The rates of the last updates, for logs: noted as they are used, so that nobody has to ask at every step."""

import operator
from collections import deque
from typing import Any

import numpy as np

LENGTH = 256
"""Updates that are remembered."""
DTYPE = np.dtype([("step", np.int64), ("group", np.int64), ("lr", np.float64)])


class History:
    """A ring of the last updates, each with the rate of every group."""

    def __init__(self) -> None:
        self._moments: deque[tuple[int, bytes]] = deque(maxlen=LENGTH)

    def note(self, step: int, rates: Any) -> None:
        """Update ``step`` was made with these rates, a float64 array that may change afterwards."""
        self._moments.append((step, rates.tobytes()))

    def read(self, n: int) -> Any:
        """The last ``n`` updates, oldest first, as an array of ``DTYPE``."""
        last = list(self._moments)[max(0, len(self._moments) - n) :]
        rates = [np.frombuffer(noted) for _, noted in last]  # of as many groups as there were then
        found = np.empty(sum(map(len, rates)), DTYPE)
        begin = 0
        for (step, _), of_groups in zip(last, rates, strict=True):
            rows = found[begin : begin + len(of_groups)]
            rows["step"], rows["group"], rows["lr"] = step, np.arange(len(of_groups)), of_groups
            begin += len(of_groups)
        return found

    def save(self) -> object:
        """What `restore` takes back."""
        return tuple(self._moments)

    def restore(self, saved: Any) -> None:
        """Forget whatever was noted since `save`."""
        self._moments = deque(saved, maxlen=LENGTH)

    def clear(self) -> None:
        """Forget everything."""
        self._moments.clear()


def check_count(n: object) -> int:
    """How many updates are asked for.

    Raises:
        ValueError: Not a whole number, or not one that can be remembered.
    """
    try:
        count = -1 if isinstance(n, bool) else operator.index(n)  # type: ignore[arg-type]
    except TypeError:
        count = -1
    if not 0 <= count <= LENGTH:
        raise ValueError(f"expected n to be a whole number between 0 and {LENGTH}, got {n!r}")
    return count
