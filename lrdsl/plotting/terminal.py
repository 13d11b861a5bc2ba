"""Plots of characters: braille where the terminal can show it (8 dots per character), plain ASCII elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from lrdsl.plotting import axes, style
from lrdsl.plotting.axes import Axis
from lrdsl.plotting.corners import with_corners
from lrdsl.plotting.curve import Curve
from lrdsl.plotting.labels import arrange

# What tells overlaid curves apart: a colour of the terminal's own palette, which suits its background; in braille the
# dots that are drawn along the line; in ASCII the character.
COLOURS = ("34", "33", "32", "35", "36", "37")
DASHES = ((1,), (1, 1, 1, 1, 0, 0, 0), (1, 0, 0), (1, 1, 1, 1, 1, 0, 0, 1, 0, 0), (1, 0), (1, 1, 1, 0, 0))
MARKS = "*o+x#@"
DIM = "2"

# Bits of a braille character, by row and column of the dot (The Unicode Standard, 21.1).
BRAILLE, BITS = 0x2800, ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


@dataclass(frozen=True, slots=True)
class Glyphs:
    """How many dots a character has, and what the frame is made of."""

    wide: int
    high: int
    vertical: str
    y_tick: str
    corner: str
    horizontal: str
    x_tick: str
    edge: str

    def character(self, dots: int, curve: int) -> str:
        """A cell with these dots of that curve."""
        return chr(BRAILLE + dots) if self.wide > 1 else style.pick(MARKS, curve)

    def dashes(self, curve: int) -> tuple[int, ...]:
        """Which dots along the line are drawn."""
        return style.pick(DASHES, curve) if self.wide > 1 else (1,)


UNICODE = Glyphs(2, 4, "│", "┤", "└", "─", "┬", "┊")
ASCII = Glyphs(1, 1, "|", "+", "+", "-", "+", ":")


def render(
    curves: Sequence[Curve],
    *,
    width: int = 80,
    height: int = 16,
    unicode: bool = True,
    colour: bool = False,
    log: bool = False,
    boundaries: bool = True,
) -> str:
    """The plot as text, at most ``width`` columns wide (but 40 at least). ``height`` is that of the plot itself."""
    width = max(width, 40)
    glyphs = UNICODE if unicode else ASCII
    x_axis, y_axis = axes.of(curves, log=log, x_ticks=max(2, width // 12), y_ticks=max(2, height // 3))
    margin = max(map(len, y_axis.labels), default=1) + 2
    canvas = Canvas(width - margin, height, glyphs, x_axis, y_axis)
    for index in reversed(range(len(curves))):  # the first curve comes last: on top
        canvas.draw(curves[index], index)
    caption = f"{y_axis.title} by {x_axis.title}"
    lines = [*_heading(curves, glyphs, width, colour), ""]
    if boundaries:
        canvas.edges = {canvas.column(step) for curve in curves for step in (*curve.boundaries, *curve.moves)}
        lines += _names(curves, canvas, margin, colour)
    lines += [*canvas.lines(margin, colour), *_x_axis(canvas, margin)]
    lines.append(" " * margin + _paint(caption if unicode else caption.replace("×", "x"), DIM, colour))
    return "\n".join(line.rstrip() for line in lines) + "\n"


@dataclass(slots=True)
class Canvas:
    """The cells of the plot itself: the dots set in each, and the curve it belongs to."""

    columns: int
    rows: int
    glyphs: Glyphs
    x_axis: Axis
    y_axis: Axis
    dots: dict[tuple[int, int], int] = field(default_factory=dict)
    owner: dict[tuple[int, int], int] = field(default_factory=dict)
    edges: set[int] = field(default_factory=set)

    def column(self, step: float) -> int:
        """The column a step lies in."""
        return round(self.x_axis.place(step) * (self.columns * self.glyphs.wide - 1)) // self.glyphs.wide

    def row(self, value: float) -> int:
        """The row a value lies in, counted from the top."""
        return round((1 - self.y_axis.place(value)) * (self.rows * self.glyphs.high - 1)) // self.glyphs.high

    def draw(self, curve: Curve, index: int) -> None:
        """Set dot after dot along the curve."""
        dashes, drawn = self.glyphs.dashes(index), 0
        right, bottom = self.columns * self.glyphs.wide - 1, self.rows * self.glyphs.high - 1
        step = right / (self.x_axis.high - self.x_axis.low)
        jumps = {self.x_axis.place(s) * right for s in curve.jumps}
        values = zip(curve.steps, curve.values, strict=True)
        for finite, run in groupby(values, key=lambda point: math.isfinite(point[1])):
            points = [(self.x_axis.place(s) * right, (1 - self.y_axis.place(v)) * bottom) for s, v in run if finite]
            for start, end in pairwise(with_corners(points, step, jumps)):
                (x, y), (dx, dy) = start, (end[0] - start[0], end[1] - start[1])
                count = max(1, math.ceil(max(abs(dx), abs(dy))))
                for i in range(count + 1):
                    if dashes[(drawn + i) % len(dashes)]:
                        self._dot(round(x + dx * i / count), round(y + dy * i / count), index)
                # Half-dots add up: a dash is as long on a curve of many points as on a straight line.
                drawn += round(max(abs(dx), abs(dy)))

    def _dot(self, x: int, y: int, index: int) -> None:
        (row, y), (column, x) = divmod(y, self.glyphs.high), divmod(x, self.glyphs.wide)
        self.dots[row, column] = self.dots.get((row, column), 0) | BITS[y][x]
        self.owner[row, column] = index

    def lines(self, margin: int, colour: bool) -> Iterator[str]:
        """The rows from top to bottom, the y axis before them."""
        ticks = {self.row(t): label for t, label in zip(self.y_axis.ticks, self.y_axis.labels, strict=True)}
        for row in range(self.rows):
            axis = self.glyphs.y_tick if row in ticks else self.glyphs.vertical
            cells = (self._cell(row, column, colour) for column in range(self.columns))
            yield f"{ticks.get(row, ''):>{margin - 2}} {axis}{''.join(cells)}"

    def _cell(self, row: int, column: int, colour: bool) -> str:
        if dots := self.dots.get((row, column)):
            owner = self.owner[row, column]
            return _paint(self.glyphs.character(dots, owner), style.pick(COLOURS, owner), colour)
        return _paint(self.glyphs.edge, DIM, colour) if column in self.edges else " "


def _heading(curves: Sequence[Curve], glyphs: Glyphs, width: int, colour: bool) -> Iterator[str]:
    """The texts, each with a sample of its line if there are several, and what the reader must know."""
    several = len(curves) > 1
    for index, curve in enumerate(curves):
        sample = _sample(glyphs, index) + " " if several else ""
        for line in style.wrap(curve.text, width - len(sample), 1 if several else 4):
            yield _paint(sample, style.pick(COLOURS, index), colour and several) + line
    for note in dict.fromkeys(curve.note for curve in curves if curve.note):
        yield _paint(note, DIM, colour)


def _sample(glyphs: Glyphs, index: int, length: int = 5) -> str:
    dashes = glyphs.dashes(index)
    on = [dashes[i % len(dashes)] for i in range(length * glyphs.wide)]
    bits = BITS[glyphs.high // 2]
    cells = (sum(bits[j] * on[i + j] for j in range(glyphs.wide)) for i in range(0, length * glyphs.wide, glyphs.wide))
    return "".join(glyphs.character(dots, index) for dots in cells)


def _names(curves: Sequence[Curve], canvas: Canvas, margin: int, colour: bool) -> Iterator[str]:
    """A row of segment names for each of a few curves."""
    if len(curves) > style.LABELLED:
        return
    for index, curve in enumerate(curves):
        line = ""
        for label in arrange(curve.named, canvas.column, 0, canvas.columns, 1, 1):
            line = line.ljust(round(label.x)) + label.text
        if line:
            code = style.pick(COLOURS, index) if len(curves) > 1 else DIM
            yield " " * margin + _paint(line, code, colour)


def _x_axis(canvas: Canvas, margin: int) -> Iterator[str]:
    glyphs, axis = canvas.glyphs, canvas.x_axis
    line, labels = [glyphs.horizontal] * canvas.columns, ""
    for tick, label in zip(axis.ticks, axis.labels, strict=True):
        column = canvas.column(tick)
        line[column] = glyphs.x_tick
        start = min(margin + column - (len(label) - 1) // 2, margin + canvas.columns - len(label))
        if start > len(labels):
            labels = labels.ljust(start) + label
    yield f"{glyphs.corner:>{margin}}{''.join(line)}"
    yield labels


def _paint(text: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour and text else text
