"""`Stage`: where a structural primitive stands, and how it lowers what it was given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Protocol

from lrdsl.program.stretch import Stretch


@dataclass(frozen=True, slots=True)
class Part:
    """One segment that a structure stands for: its name, its length before rounding, its arguments by Python name."""

    segment: str
    n: Fraction
    arguments: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


class Stage(Protocol):
    """What ``language/place.py`` offers."""

    clock: Any
    lost: Any
    position: Fraction
    pace: Any
    begin: int
    prev: Any
    base: Any
    origin: Any

    def now(self, step: int) -> Any:
        """The schedule's own clock when this clock shows `step`."""
        ...

    def lower(self, body: Any, *, clock: Any, lost: Any, pace: Any, prev: Any, base: Any) -> Stretch:
        """`body` from step 0 of `clock`, which is short of the true time by `lost`."""
        ...

    def rewrite(self, parts: Sequence[Part]) -> Stretch:
        """Segments one after another, as if the text had them."""
        ...
