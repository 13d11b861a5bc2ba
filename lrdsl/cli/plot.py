"""`lrdsl plot`: curves in the terminal or in files."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrdsl.cli import metrics, numbers, output
from lrdsl.cli.inputs import STEPS, Binding, Text, steps, takes_context, takes_texts
from lrdsl.language.hints import suggestion
from lrdsl.plotting import curve

if TYPE_CHECKING:
    from lrdsl.plotting.trace import Report
    from lrdsl.schedule import Schedule

WRITERS = (".svg", ".png")


class StepsAfterAt(click.Command):
    """Lets ``--at`` take several steps: ``--at 0 500 10k``. No schedule is a bare number."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option before each of its steps."""
        parsed: list[str] = []
        inside = False
        for arg in args:
            step = STEPS.fullmatch(arg) is not None
            if inside and step and parsed[-1] != "--at":
                parsed.append("--at")
            parsed.append(arg)
            inside = arg == "--at" or (inside and step)
        return super().parse_args(ctx, parsed)


@click.command(cls=StepsAfterAt)
@takes_texts
@click.option("--text", "terminal", is_flag=True, help="Draw in the terminal; also the default.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write a picture: x.svg or x.png.")
@click.option("--json", "as_json", is_flag=True, help="Print points and segments as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print steps and rates as CSV: the points, or those of --at.")
@click.option("--at", type=steps, multiple=True, metavar="STEP...", help="Print the values at these steps.")
@click.option("--log", is_flag=True, help="Logarithmic axis of rates.")
@click.option("--from", "begin", type=steps, default="0", metavar="STEP", help="First step drawn.")
@click.option("--to", "end", type=steps, metavar="STEP", help="Last step drawn. Default: the run, or all that changes.")
@click.option("--target", help="What to draw: lr (the default), weight_decay, momentum, beta1 ...")
@click.option("--group", metavar="NAME", help="Of which parameter group: a name or index in the text or --base.")
@click.option(
    "--metric", "reports", type=metrics.reports, metavar="FILE.csv", help="What is observed: columns step, loss, ..."
)
@click.option("--no-boundaries", is_flag=True, help="Leave out where segments begin, and their names.")
@takes_context
def plot(
    texts: list[Text],
    binding: Binding,
    terminal: bool,
    out: Path | None,
    as_json: bool,
    as_csv: bool,
    at: Sequence[int],
    log: bool,
    begin: int,
    end: int | None,
    target: str | None,
    group: str | None,
    reports: list[Report] | None,
    no_boundaries: bool,
) -> None:
    """Draw schedules, several on the same axes.

    \b
      lrdsl plot 'warmup(2%) >> cosine(rest)' --total-steps 10k --base-lr 3e-4
      lrdsl plot 'cosine(1000)' 'linear(1000)' --out compared.svg
      lrdsl plot --file train.yaml --key optimizer.lr --at 0 500 10k
      lrdsl plot 'hold() | plateau(patience=3)' --metric losses.csv --csv

    Without --base-lr rates are multiples of base. Without --total-steps a schedule that ends is drawn in full, one that
    does not to twice its finite part.
    """  # noqa: D301  (click looks for the very character)
    if out is not None and out.suffix not in WRITERS:
        raise click.BadParameter(f"expected a name ending in {' or '.join(WRITERS)}, got `{out}`", param_hint="--out")
    if end is not None and end <= begin:
        raise click.BadParameter(f"expected a step after --from {begin}, got {end}", param_hint="--to")
    if as_json and as_csv:
        raise click.UsageError("--json or --csv: one at a time")
    schedules = [binding.compile(text) for text in texts]
    if reports is not None:
        metrics.check(reports, schedules)
    where = int(group) if group is not None and group.isdecimal() else group
    if where is not None:
        _check_group(where, schedules, binding)
    if at:
        found = numbers.values(schedules, target, where, at, reports)
        (found.csv if as_csv else found.json if as_json else found.table)()
        return
    last = end if end is not None else max(curve.extent(s, target, where, reports) for s in schedules)
    how: dict[str, Any] = {"begin": begin, "end": last, "log": log, "reports": reports}
    curves = [curve.of(s, target, where, relative=_relative(s, binding, target, where), **how) for s in schedules]
    if out is not None:
        _write(out, curves, log=log, boundaries=not no_boundaries)
    if as_json:
        numbers.json(curves)
    elif as_csv:
        numbers.values(schedules, target, where, numbers.points(curves), reports).csv()
    elif terminal or out is None:
        from lrdsl.plotting.terminal import render

        width = shutil.get_terminal_size((80, 24)).columns
        colour = output.coloured(sys.stdout)
        unicode = output.unicode(sys.stdout)
        drawn = render(curves, width=width, unicode=unicode, colour=colour, log=log, boundaries=not no_boundaries)
        click.echo(drawn, nl=False, color=colour)


def _check_group(group: str | int, schedules: Sequence[Schedule], binding: Binding) -> None:
    """Raise unless a text or a base names the group: drawn would be what holds for all, under a name of none."""
    named = {str(own) for schedule in schedules for _, own in schedule.tracks if own is not None}
    named |= {base.partition("[")[2][:-1].strip('"') for base in binding.given["bases"] if "[" in base}
    if str(group) not in named:
        hint = suggestion(str(group), named) or (f"there is {', '.join(sorted(named))}" if named else "there is none")
        message = f"neither the text nor --base names a group `{group}`; {hint}"
        raise click.BadParameter(message, param_hint="--group")


def _relative(schedule: Schedule, binding: Binding, target: str | None, group: str | int | None) -> bool:
    """Are the rates drawn multiples of a base that nobody gave?"""
    target, group = curve.subject(schedule, target, group)
    return binding.relative and target == "lr" and not {"lr", f"lr[{group}]"} & set(binding.given["bases"])


def _write(out: Path, curves: Sequence[curve.Curve], **how: Any) -> None:
    if out.suffix == ".svg":
        from lrdsl.plotting import svg

        content = svg.render(curves, **how).encode()
    else:
        from lrdsl.plotting import png

        content = png.render(curves, **how)
    try:
        out.write_bytes(content)
    except OSError as error:
        raise click.UsageError(f"cannot write {out}: {error.strerror}") from None
