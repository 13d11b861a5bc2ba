"""Where segment names go above a plot, so that none runs into another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lrdsl.plotting.curve import Stretch


@dataclass(frozen=True, slots=True)
class Label:
    """A text that starts at `x`, in `row` 0 (next to the plot) or above."""

    x: float
    row: int
    text: str
    step: int  # where its segment begins


def arrange(
    stretches: Iterable[Stretch], place: Callable[[int], float], left: float, right: float, char: float, rows: int
) -> list[Label]:
    """Place the labels, in units where one character is ``char`` wide and ``place`` tells where a step lies.

    A label stands in the middle of its segment; one wider than that starts where the segment does. One that finds no
    room is cut down to the function's name, then left out.
    """
    free = [left] * rows  # where each row is still empty
    labels = []
    for stretch in stretches:
        begin, end = place(stretch.begin), place(stretch.end)
        for text in dict.fromkeys((stretch.label, stretch.label.partition("(")[0])):
            width = len(text) * char
            fitting = [
                (x, row) for row, x in enumerate(_start(f, begin, end, width, right, char) for f in free) if x >= 0
            ]
            if text and fitting:
                x, row = min(fitting, key=lambda spot: spot[1])
                labels.append(Label(x, row, text, stretch.begin))
                free[row] = x + width + 2 * char
                break
    return labels


def _start(free: float, begin: float, end: float, width: float, right: float, char: float) -> float:
    """Where a label of that width may start in a row, or -1."""
    if width <= end - begin:
        x = max(free, (begin + end - width) / 2)
        return x if x + width <= end else -1
    x = min(begin, right - width)
    return x if x >= free else -1
