"""Where everything stands in a picture, in pixels from its top left corner: shared by SVG and PNG."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from lrdsl.plotting import axes, style
from lrdsl.plotting.axes import Axis
from lrdsl.plotting.corners import with_corners
from lrdsl.plotting.curve import Curve, Series
from lrdsl.plotting.labels import Label, arrange

WIDTH, PLOT_HEIGHT = 840, 320
PANEL_HEIGHT, PANEL_GAP = 84, 18  # of a metric below the plot
LEFT, RIGHT, FOOT, MARGIN = 72, WIDTH - 24, 52, 20
HEAD_SIZE, SIZE = 13, 11  # of characters
HEAD_LINE, NAME_LINE = 19, 16
APART = 3.0  # of lines where reports moved the rate
NAME_WIDTH = 0.61 * SIZE  # of a monospace character, a little more than in most fonts


@dataclass(frozen=True, slots=True)
class Line:
    """A line above the plot: one of a text, or a note."""

    y: float
    text: str
    note: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """A piece of a curve's line beside its text."""

    y: float
    curve: int


@dataclass(frozen=True, slots=True)
class Name:
    """A segment's name above the plot; `stem` is where a line down to the plot begins, if it needs one."""

    x: float
    y: float
    text: str
    curve: int
    stem: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Panel:
    """A metric below the plot."""

    axis: Axis
    series: Series
    top: float

    @property
    def bottom(self) -> float:
        """Its lower end."""
        return self.top + PANEL_HEIGHT

    def y(self, value: float) -> float:
        """Where a report lies."""
        return self.bottom - self.axis.place(value) * PANEL_HEIGHT


@dataclass(frozen=True, slots=True)
class Layout:
    """A picture without its colours."""

    curves: Sequence[Curve]
    x_axis: Axis
    y_axis: Axis
    left: float  # of the lines above the plot
    lines: list[Line]
    samples: list[Sample]
    names: list[Name]
    top: float  # of the plot
    panels: list[Panel]

    @property
    def bottom(self) -> float:
        """The lower end of the plot."""
        return self.top + PLOT_HEIGHT

    @property
    def foot(self) -> float:
        """The lower end of the plot and its panels, where the axis of steps is written."""
        return self.panels[-1].bottom if self.panels else self.bottom

    @property
    def height(self) -> float:
        """Of the whole picture."""
        return self.foot + FOOT

    @property
    def several(self) -> bool:
        """Are there curves to tell apart?"""
        return len(self.curves) > 1

    def x(self, step: float) -> float:
        """Where a step lies."""
        return _x(self.x_axis, step)

    def y(self, value: float) -> float:
        """Where a value lies."""
        return self.bottom - self.y_axis.place(value) * PLOT_HEIGHT

    def runs(self, curve: Curve) -> Iterator[list[tuple[float, float]]]:
        """The points of a curve, in pieces where it is broken because the rate is not a number."""
        for run in _runs(curve, self.x, self.y):
            yield with_corners(run, self._step, {self.x(step) for step in curve.jumps})

    @property
    def _step(self) -> float:
        """How far one step is from the next."""
        return (RIGHT - LEFT) / (self.x_axis.high - self.x_axis.low)

    def reports(self, panel: Panel) -> Iterator[list[tuple[float, float]]]:
        """The points of a metric, likewise."""
        return _runs(panel.series, self.x, panel.y)

    @property
    def moves(self) -> list[float]:
        """Where reports moved the rate; one line for several that are next to each other."""
        found: list[float] = []
        for step in sorted({step for curve in self.curves for step in curve.moves}):
            if not found or self.x(step) - found[-1] >= APART:
                found.append(self.x(step))
        return found


def of(curves: Sequence[Curve], *, log: bool, boundaries: bool) -> Layout:
    """Lay out the picture of ``curves`` on shared axes."""
    x_axis, y_axis = axes.of(curves, log=log)
    left = LEFT if len(curves) > 1 else MARGIN
    lines, samples, y = _head(curves)
    labels = _labels(curves, x_axis) if boundaries else []
    rows = [1 + max((label.row for label in row), default=-1) for row in labels]
    top = y + NAME_LINE * sum(rows) + 4
    names = []
    for index, row in enumerate(labels):
        base = top - NAME_LINE * sum(rows[index + 1 :])
        for label in row:
            name_y = base - 6 - NAME_LINE * label.row
            stem = (_x(x_axis, label.step), name_y + 6) if label.row else None
            names.append(Name(label.x + 3, name_y, label.text, index, stem))
    return Layout(curves, x_axis, y_axis, left, lines, samples, names, top, _panels(curves, top + PLOT_HEIGHT))


def _panels(curves: Sequence[Curve], bottom: float) -> list[Panel]:
    """A panel for each metric; curves that listen to the same one were told the same."""
    metrics = {series.metric: series for curve in curves for series in curve.metrics}
    tops = (bottom + PANEL_GAP + index * (PANEL_HEIGHT + PANEL_GAP) for index in range(len(metrics)))
    return [
        Panel(axes.of_metric(series.values, name), series, top)
        for (name, series), top in zip(metrics.items(), tops, strict=True)
    ]


def _runs(
    line: Curve | Series, x: Callable[[float], float], y: Callable[[float], float]
) -> Iterator[list[tuple[float, float]]]:
    points = zip(line.steps, line.values, strict=True)
    for finite, run in groupby(points, key=lambda point: math.isfinite(point[1])):
        if finite:
            yield [(x(step), y(value)) for step, value in run]


def _x(axis: Axis, step: float) -> float:
    return LEFT + axis.place(step) * (RIGHT - LEFT)


def _head(curves: Sequence[Curve]) -> tuple[list[Line], list[Sample], float]:
    """The texts, with samples if there are several, then what the reader must know; and where all that ends."""
    several = len(curves) > 1
    lines, samples, y = [], [], float(MARGIN + HEAD_SIZE)
    for index, curve in enumerate(curves):
        if several:
            samples.append(Sample(y - 4, index))
        for text in style.wrap(curve.text, 92 if several else 99, 1 if several else 3):
            lines.append(Line(y, text))
            y += HEAD_LINE
    for note in dict.fromkeys(curve.note for curve in curves if curve.note):
        lines.append(Line(y, note, note=True))
        y += HEAD_LINE
    return lines, samples, y


def _labels(curves: Sequence[Curve], x_axis: Axis) -> list[list[Label]]:
    """The names of the segments: up to two rows of them for a curve on its own, one each for a few."""
    rows = 2 if len(curves) == 1 else 1 if len(curves) <= style.LABELLED else 0
    return [arrange(curve.named, lambda s: _x(x_axis, s), LEFT, RIGHT, NAME_WIDTH, rows) for curve in curves]
