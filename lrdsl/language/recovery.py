"""Recovery: an error is noted where it is found, and the rest of the text is read on.

What is wrong is said once. A part that has failed says so to whatever it stands in by
`Reported`, which nobody shows; parts beside it are read as if nothing had happened.
"""

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TypeVar

from lrdsl.errors import ScheduleError

MOST = 1000
"""Errors after which a text is read no further."""

T = TypeVar("T")


class Reported(Exception):
    """What stands here is wrong, and that has been noted."""


class Enough(Exception):
    """No more errors are wanted: there are many, or the text has grown too large to be read on."""


class Errors:
    """All that is wrong with a text. ``with errors:`` notes an error of what stands inside, and goes on after it."""

    def __init__(self) -> None:
        self.failures = 0
        self._found: dict[object, ScheduleError] = {}

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        if error is None:
            return False
        if isinstance(error, ScheduleError):
            self.add(error)
            return True
        if isinstance(error, Reported):
            self.failures += 1
            return True
        return False

    def add(self, error: ScheduleError) -> None:
        """Note an error, and those that came with it.

        What a `let` holds is read at each use, a missing unit is one error however often it is used.

        Raises:
            Enough: It was the last one wanted.
        """
        self.failures += 1
        found, error.others = (error, *error.others), ()
        for one in found:
            self._found.setdefault((one.code, one.hint if one.code == "E0401" else one.span), one)
        if error.code == "E0902" or len(self._found) >= MOST:
            raise Enough

    def each(self, makers: Iterable[Callable[[], T]]) -> list[T]:
        """What each of `makers` makes, all of them tried.

        Raises:
            Reported: One or more have failed.
        """
        before, made = self.failures, []
        for make in makers:
            with self:
                made.append(make())
        self.none_since(before)
        return made

    def none_since(self, failures: int) -> None:
        """Raise `Reported` if there have been failures since there were so many."""
        if self.failures > failures:
            raise Reported

    def first(self) -> ScheduleError | None:
        """The first error in the order of the text, with the others in `others`; None if nothing is wrong."""
        if not self._found:
            return None
        first, *others = sorted(self._found.values(), key=lambda error: (error.span is None, error.span or ()))
        first.others = tuple(others)
        return first
