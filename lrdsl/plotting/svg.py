"""SVG by hand: one small file without scripts, fonts or links, for light and dark pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape

from lrdsl.plotting import axes, layout, style
from lrdsl.plotting.axes import Axis
from lrdsl.plotting.curve import Curve, Part
from lrdsl.plotting.layout import LEFT, MARGIN, PLOT_HEIGHT, RIGHT, WIDTH, Layout

# Plain rules, without custom properties, shorthands or sizes of the root: what draws pictures outside browsers knows no
# more, and skips media rules. Those hold what only browsers need. The class keeps all of them off the page around.
CSS = """
.lrdsl{font-size:11px;font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
.lrdsl .code{font-family:"DejaVu Sans Mono",ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.lrdsl .page{fill:#fff}
.lrdsl text{fill:#57606a}
.lrdsl .head{font-size:13px;fill:#1f2328}
.lrdsl .halo{fill:#fff;stroke:#fff;stroke-width:5;stroke-linejoin:round}
.lrdsl .grid{stroke:#eaeef2}
.lrdsl .frame{stroke:#8c959f;fill:none}
.lrdsl .edge{stroke:#8c959f;stroke-dasharray:1 3}
.lrdsl .line{fill:none;stroke-width:2;stroke-linejoin:round}
"""
FITTING_CSS = "@media (min-width:0){.lrdsl{max-width:100%;height:auto}}"
DARK_CSS = """
.lrdsl .page{fill:#0d1117}
.lrdsl text{fill:#9198a1}
.lrdsl .head{fill:#e6edf3}
.lrdsl .halo{fill:#0d1117;stroke:#0d1117}
.lrdsl .grid{stroke:#21262d}
.lrdsl .frame,.lrdsl .edge{stroke:#656c76}
"""
METRIC_CSS = """
.lrdsl .move{stroke:#cf222e;stroke-dasharray:2 3}
.lrdsl .metric{fill:none;stroke:#57606a;stroke-width:1.3;stroke-linejoin:round}
"""
DARK_METRIC_CSS = """
.lrdsl .move{stroke:#ff7b72}
.lrdsl .metric{stroke:#9198a1}
"""


def render(curves: Sequence[Curve], *, log: bool = False, boundaries: bool = True) -> str:
    """The picture of all ``curves`` on shared axes, as the text of an SVG file.

    Args:
        curves: At least one, from `lrdsl.plotting.curve.of`.
        log: With a logarithmic axis of rates.
        boundaries: With a thin line wherever a segment begins, and the segments' names.
    """
    plan = layout.of(curves, log=log, boundaries=boundaries)
    body = [*_head(plan), *_axes(plan)]
    if boundaries:
        body += _boundaries(plan)
    body += _panels(plan)
    # The first curve comes last: on top.
    body += (_line(curve, index, plan) for index, curve in reversed(list(enumerate(curves))))
    if not plan.several:
        body += (_tooltip(part, curves[0], plan) for part in curves[0].parts)
    title = "Learning-rate schedule: " + "; ".join(curve.text for curve in curves)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="lrdsl" role="img" viewBox="0 0 {WIDTH} {plan.height:g}" '
            f'width="{WIDTH}" height="{plan.height:g}">',
            f"<title>{escape(title)}</title>",
            f"<style>{_css(len(curves), metrics=bool(plan.panels))}</style>",
            f'<rect class="page" width="{WIDTH}" height="{plan.height:g}" rx="6"/>',
            *body,
            "</svg>\n",
        ]
    )


def _css(curves: int, *, metrics: bool) -> str:
    def colours(palette: Sequence[str]) -> str:
        rules = (
            f".lrdsl .c{i}{{stroke:{(c := style.pick(palette, i))}}}.lrdsl .n{i}{{fill:{c}}}" for i in range(curves)
        )
        return "\n".join(rules)

    light, dark = (CSS + METRIC_CSS.lstrip(), DARK_CSS + DARK_METRIC_CSS.lstrip()) if metrics else (CSS, DARK_CSS)
    dark_page = f"@media (prefers-color-scheme:dark){{{dark}{colours(style.DARK)}\n}}"
    return f"{light}{colours(style.LIGHT)}\n{FITTING_CSS}\n{dark_page}\n"


def _head(plan: Layout) -> Iterator[str]:
    for sample in plan.samples:
        yield f'<path class="line c{sample.curve}"{_dash(sample.curve)} d="M{MARGIN} {sample.y:g}H{LEFT - 12}"/>'
    for line in plan.lines:
        yield _text(plan.left, line.y, line.text, "" if line.note else "head code")


def _axes(plan: Layout) -> Iterator[str]:
    yield from _y_axis(plan.y_axis, plan.y, plan.top, plan.bottom)
    for tick, label in zip(plan.x_axis.ticks, plan.x_axis.labels, strict=True):
        x = plan.x(tick)
        yield f'<path class="frame" d="M{x:.1f} {plan.foot:g}v5"/>'
        yield _text(x, plan.foot + 18, label, anchor="middle")
    yield _text((LEFT + RIGHT) / 2, plan.foot + 38, plan.x_axis.title, anchor="middle")


def _y_axis(axis: Axis, place: Callable[[float], float], top: float, bottom: float) -> Iterator[str]:
    for tick, label in zip(axis.ticks, axis.labels, strict=True):
        y = place(tick)
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/>'
        yield _text(LEFT - 8, y + 4, label, anchor="end")
    yield f'<path class="frame" d="M{LEFT} {top:g}V{bottom:g}H{RIGHT}"/>'
    x, y = MARGIN - 3, (top + bottom) / 2
    yield _text(x, y, axis.title, anchor="middle", more=f' transform="rotate(-90 {x} {y:g})"')


def _panels(plan: Layout) -> Iterator[str]:
    """The metrics, and a line through everything wherever a report moved the rate."""
    for panel in plan.panels:
        yield from _y_axis(panel.axis, panel.y, panel.top, panel.bottom)
    for x in plan.moves:
        yield f'<path class="move" d="M{x:.1f} {plan.top:g}V{plan.foot:g}"/>'
    for panel in plan.panels:
        yield f'<path class="metric" d="{_path(plan.reports(panel))}"/>'


def _boundaries(plan: Layout) -> Iterator[str]:
    """Thin lines, in the curves' colours if there are several, and the names, on halos that hide the lines behind."""
    for index, curve in enumerate(plan.curves):
        kind = f"edge c{index}" if plan.several else "edge"
        for step in curve.boundaries:
            yield f'<path class="{kind}" d="M{plan.x(step):.1f} {plan.top:g}V{plan.bottom:g}"/>'
    for name in plan.names:
        if name.stem:
            yield f'<path class="edge" d="M{name.stem[0]:.1f} {name.stem[1]:g}V{plan.top:g}"/>'
    for name in plan.names:
        yield _text(name.x, name.y, name.text, "code halo", more=' aria-hidden="true"')
        yield _text(name.x, name.y, name.text, f"code n{name.curve}" if plan.several else "code")


def _line(curve: Curve, index: int, plan: Layout) -> str:
    return f'<path class="line c{index}"{_dash(index)} d="{_path(plan.runs(curve))}"/>'


def _path(runs: Iterable[Sequence[tuple[float, float]]]) -> str:
    return "".join("M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in run) for run in runs)


def _tooltip(part: Part, curve: Curve, plan: Layout) -> str:
    """An invisible area over a segment: browsers show its title under the pointer."""
    rates = dict(zip(curve.steps, curve.values, strict=True))
    first, last = axes.rate(rates[part.begin]), axes.rate(rates[part.end - 1])
    left = plan.x(part.begin)
    return (
        f'<rect x="{left:.1f}" y="{plan.top:g}" width="{plan.x(part.end) - left:.1f}" height="{PLOT_HEIGHT}" '
        f'fill="none" pointer-events="all"><title>{escape(part.label)}: steps {part.begin} to {part.end - 1}, '
        f"{first} to {last}</title></rect>"
    )


def _dash(index: int) -> str:
    dash = style.pick(style.DASHES, index)
    return f' stroke-dasharray="{" ".join(f"{d:g}" for d in dash)}"' if dash else ""


def _text(x: float, y: float, content: str, kind: str = "", anchor: str = "", more: str = "") -> str:
    attributes = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor else "") + more
    return f'<text x="{x:.1f}" y="{y:.1f}"{attributes}>{escape(content, quote=False)}</text>'
