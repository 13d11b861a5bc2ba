"""PNG through matplotlib, in the layout of the SVG and its light colours."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lrdsl.plotting import layout, style
from lrdsl.plotting.axes import Axis
from lrdsl.plotting.curve import Curve
from lrdsl.plotting.layout import HEAD_SIZE, LEFT, MARGIN, RIGHT, SIZE, WIDTH, Layout

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 200
POINTS = 0.72  # per pixel: a figure of 100 pixels per inch
INK, MUTED, FRAME, GRID, MOVE = "#1f2328", "#57606a", "#8c959f", "#eaeef2", "#cf222e"


def render(curves: Sequence[Curve], *, log: bool = False, boundaries: bool = True) -> bytes:
    """The picture of all ``curves`` on shared axes, as the bytes of a PNG file.

    Args:
        curves: At least one, from `lrdsl.plotting.curve.of`.
        log: With a logarithmic axis of rates.
        boundaries: With a thin line wherever a segment begins, and the segments' names.

    Raises:
        ImportError: matplotlib is not installed; the message says how to get it.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ImportError("a PNG needs matplotlib: pip install 'lrdsl[plot]'", name="matplotlib") from error
    plan = layout.of(curves, log=log, boundaries=boundaries)
    figure = Figure(figsize=(WIDTH / 100, plan.height / 100), dpi=DPI)
    # One transparent sheet over the whole picture, in the layout's own pixels.
    sheet: Axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(plan.height, 0))
    sheet.axis("off")
    _head(sheet, plan)
    _axes(sheet, plan)
    if boundaries:
        _boundaries(sheet, plan)
    _panels(sheet, plan)
    for index, curve in reversed(list(enumerate(curves))):
        for run in plan.runs(curve):
            _line(sheet, [x for x, _ in run], [y for _, y in run], index)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Title": "; ".join(curve.text for curve in curves)})
    return file.getvalue()


def _head(sheet: Axes, plan: Layout) -> None:
    for sample in plan.samples:
        _line(sheet, [MARGIN, LEFT - 12], [sample.y, sample.y], sample.curve)
    for line in plan.lines:
        if line.note:
            _text(sheet, plan.left, line.y, line.text)
        else:
            _text(sheet, plan.left, line.y, line.text, color=INK, size=HEAD_SIZE, family="monospace")


def _axes(sheet: Axes, plan: Layout) -> None:
    _y_axis(sheet, plan.y_axis, plan.y, plan.top, plan.bottom)
    for tick, label in zip(plan.x_axis.ticks, plan.x_axis.labels, strict=True):
        x = plan.x(tick)
        _rule(sheet, [x, x], [plan.foot, plan.foot + 5], FRAME)
        _text(sheet, x, plan.foot + 18, label, ha="center")
    _text(sheet, (LEFT + RIGHT) / 2, plan.foot + 38, plan.x_axis.title, ha="center")


def _y_axis(sheet: Axes, axis: Axis, place: Callable[[float], float], top: float, bottom: float) -> None:
    for tick, label in zip(axis.ticks, axis.labels, strict=True):
        y = place(tick)
        _rule(sheet, [LEFT, RIGHT], [y, y], GRID)
        _text(sheet, LEFT - 8, y + 4, label, ha="right")
    _rule(sheet, [LEFT, LEFT, RIGHT], [top, bottom, bottom], FRAME)
    _text(sheet, MARGIN - 13, (top + bottom) / 2, axis.title, ha="left", va="center", rotation=90)


def _panels(sheet: Axes, plan: Layout) -> None:
    for panel in plan.panels:
        _y_axis(sheet, panel.axis, panel.y, panel.top, panel.bottom)
    for x in plan.moves:
        _rule(sheet, [x, x], [plan.top, plan.foot], MOVE, dashes=(2, 3))
    for panel in plan.panels:
        for run in plan.reports(panel):
            sheet.plot([x for x, _ in run], [y for _, y in run], color=MUTED, linewidth=1.3 * POINTS)


def _boundaries(sheet: Axes, plan: Layout) -> None:
    for index, curve in enumerate(plan.curves):
        colour = style.pick(style.LIGHT, index) if plan.several else FRAME
        for step in curve.boundaries:
            x = plan.x(step)
            _rule(sheet, [x, x], [plan.top, plan.bottom], colour, dashes=(1, 3))
    for name in plan.names:
        if name.stem:
            x, y = name.stem
            _rule(sheet, [x, x], [y, plan.top], FRAME, dashes=(1, 3))
        colour = style.pick(style.LIGHT, name.curve) if plan.several else MUTED
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        _text(sheet, name.x, name.y, name.text, color=colour, family="monospace", bbox=box)


def _line(sheet: Axes, x: Sequence[float], y: Sequence[float], index: int) -> None:
    dashes = [d / 2 for d in style.pick(style.DASHES, index)]  # matplotlib counts them in line widths
    kind: Any = (0, dashes) if dashes else "-"
    sheet.plot(x, y, color=style.pick(style.LIGHT, index), linewidth=2 * POINTS, linestyle=kind)


def _rule(sheet: Axes, x: Sequence[float], y: Sequence[float], colour: str, dashes: tuple[float, ...] = ()) -> None:
    kind: Any = (0, dashes) if dashes else "-"
    sheet.plot(x, y, color=colour, linewidth=POINTS, linestyle=kind)


def _text(sheet: Axes, x: float, y: float, content: str, *, size: float = SIZE, **how: Any) -> None:
    # Nothing in a schedule is mathematics to be typeset.
    sheet.text(x, y, content, size=size * POINTS, parse_math=False, **{"color": MUTED, **how})
