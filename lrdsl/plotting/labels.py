"""Where segment names go above a plot, so that none runs into another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lrdsl.plotting.curve import Part


@dataclass(frozen=True, slots=True)
class Label:
    """A text that starts at `x`, in `row` 0 (next to the plot) or above."""

    x: float
    row: int
    text: str
    step: int  # where its segment begins


def arrange(
    parts: Sequence[Part], place: Callable[[int], float], left: float, right: float, char: float, rows: int
) -> list[Label]:
    """Place the labels, in units where one character is ``char`` wide and ``place`` tells where a step lies.

    A label stands in the middle of its segment; one wider than that starts where the segment does. One that finds no
    room is cut down to the function's name, then left out. If more of them find room when those too wide for their own
    segments are cut down first, they are.
    """
    room = Room(place, left, right, char, rows)
    return max(room.fill(parts, modest=False), room.fill(parts, modest=True), key=len)


@dataclass(frozen=True, slots=True)
class Room:
    """The rows above a plot."""

    place: Callable[[int], float]
    left: float
    right: float
    char: float
    rows: int

    def fill(self, parts: Iterable[Part], *, modest: bool) -> list[Label]:
        """Place labels from left to right; ``modest`` ones rather lose their arguments than leave their segment."""
        free = [self.left] * self.rows  # where each row is still empty
        labels = []
        for part in parts:
            begin, end = self.place(part.begin), self.place(part.end)
            texts = [part.label, part.label.partition("(")[0]]
            if modest and len(texts[0]) * self.char > end - begin:
                texts.reverse()
            for text in filter(None, texts):
                width = len(text) * self.char
                starts = ((row, self._start(x, begin, end, width)) for row, x in enumerate(free))
                row, x = next(((row, x) for row, x in starts if x is not None), (-1, 0.0))
                if row >= 0:
                    labels.append(Label(x, row, text, part.begin))
                    free[row] = x + width + 2 * self.char
                    break
        return labels

    def _start(self, free: float, begin: float, end: float, width: float) -> float | None:
        """Where a label of that width may start in a row, if anywhere."""
        if width <= end - begin:
            x = max(free, (begin + end - width) / 2)
            return x if x + width <= end else None
        x = min(begin, self.right - width)
        return x if x >= free else None
