"""The verbs about text: `check`, `fmt`, `explain` and `list`."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import click

from lrdsl.cli import output
from lrdsl.cli.inputs import Binding, Text, takes_context, takes_texts
from lrdsl.errors import CODES, Note, ScheduleError

if TYPE_CHECKING:
    from lrdsl.schedule import Schedule

WRONG = 1


def _note_codes(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> frozenset[str]:
    notes = [code for code in CODES if code.startswith("N")]
    for code in given:
        if code.upper() not in notes:
            raise click.BadParameter(f"there is no note {code.upper()}; {_nearest_code(code.upper(), notes)}")
    return frozenset(map(str.upper, given))


def _nearest_code(code: str, codes: Collection[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(code, codes, 1)
    return f"did you mean {near[0]}?" if near else f"they run from {min(codes)} to {max(codes)}"


@click.command()
@takes_texts
@click.option("--strict", is_flag=True, help="Notes fail too.")
@click.option(
    "--ignore",
    "ignored",
    metavar="CODE",
    multiple=True,
    callback=_note_codes,
    help="Leave a note out, such as N0704. Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print diagnostics as JSON: code, message, span, hint.")
@takes_context
def check(texts: list[Text], binding: Binding, strict: bool, ignored: frozenset[str], as_json: bool) -> None:
    """Say everything that is wrong with schedules, or print the notes about them."""
    failed = False
    reports = []
    for text in texts:
        errors: list[ScheduleError] = []
        notes: tuple[Note, ...] = ()
        try:
            notes = tuple(note for note in binding.compile(text).notes if note.code not in ignored)
        except ScheduleError as first:
            errors = [first, *first.others]
        failed |= bool(errors) or (strict and bool(notes))
        if as_json:
            found = {"errors": list(map(_diagnostic, errors)), "notes": list(map(_diagnostic, notes))}
            reports.append({"text": text.text, "source": text.source, **found})
            continue
        for error in errors:
            output.diagnose(error)
        if not errors:
            click.echo(f"ok: {text}")
        for note in notes:
            click.echo(note.render(text.text, text.source))
    if as_json:
        import json

        click.echo(json.dumps(reports))
    if failed:
        sys.exit(WRONG)


@click.command()
@takes_texts
def fmt(texts: list[Text]) -> None:
    """Print the canonical text of schedules, one per line."""
    from lrdsl.language.printer import render
    from lrdsl.syntax.parser import parse

    for text in texts:
        try:
            click.echo(render(parse(text.text)))
        except ScheduleError as error:
            raise error.within(text.text, text.source) from None


@click.command()
@takes_texts
@takes_context
def explain(texts: list[Text], binding: Binding) -> None:
    """Show a schedule segment by segment and the notes about it; or say what a code such as E0204 means."""
    for index, text in enumerate(texts):
        if index:
            click.echo()
        if re.fullmatch(r"[EeNn]\d+", text.text.strip()):
            _explain_code(text.text.strip().upper())
        else:
            _explain_schedule(binding.compile(text), text, binding)


@click.command("list")
@click.argument("name", required=False)
def list_(name: str | None) -> None:
    """List the segments and modifiers, or show one in full."""
    from lrdsl.language.hints import suggestion
    from lrdsl.primitives import MODIFIERS, SEGMENTS

    if name is None:
        for title, primitives in (("segments", SEGMENTS), ("modifiers, after `|`", MODIFIERS)):
            click.echo(f"{title}:")
            for _, primitive in sorted(primitives.items()):
                click.echo(f"  {primitive.signature}\n      {primitive.doc.partition(chr(10))[0]}")
        click.echo("on schedules: `a >> b`, `a * b`, `a + b`, `a - b`, `max(a, b)`, `min(a, b)`, `clamp(a, lo, hi)`")
        return
    found = SEGMENTS.get(name) or MODIFIERS.get(name)
    if found is None:
        hint = suggestion(name, [*SEGMENTS, *MODIFIERS]) or "`lrdsl list` shows them all"
        raise click.UsageError(f"there is no primitive `{name}`; {hint}")
    click.echo(f"{found.signature}\n\n{found.doc}")


def _diagnostic(found: ScheduleError | Note) -> dict[str, Any]:
    return {"code": found.code, "message": found.message, "span": found.span, "hint": found.hint}


def _explain_code(code: str) -> None:
    from lrdsl import pages

    if code not in CODES:
        raise click.UsageError(f"there is no code {code}; {_nearest_code(code, CODES)}")
    click.echo(pages.plain(pages.read(code)))


def _explain_schedule(schedule: Schedule, text: Text, binding: Binding) -> None:
    click.echo(str(schedule))
    for target, group in schedule.tracks:
        name = target if group is None else f"{target}[{group}]"
        relative = binding.relative and target == "lr" and not {"lr", name} & set(binding.given["bases"])
        click.echo(f"\n{name}{' (× base)' if relative else ''}" if output.unicode(sys.stdout) else f"\n{name}")
        rows = [_row(row) for row in schedule.segments(target, group)]
        output.table(["begin", "end", "segment", "first", "last", "then", "jump"], rows, left=2)
    if schedule.metrics:
        click.echo(f"\nlistens to: {', '.join(map(_reported, schedule.metrics))}")
    if schedule.notes:
        click.echo()
    for note in schedule.notes:
        click.echo(note.render(text.text, text.source))


def _reported(metric: str) -> str:
    return f"{metric} (the optimizer reports it)" if metric == "grad_norm" else metric


def _row(row: Any) -> list[str]:
    from lrdsl.plotting.axes import rate

    end = "" if math.isinf(row.end) else str(row.end)
    first, last, out = ("" if math.isnan(v) else rate(v, 6) for v in (row.first, row.last, row.out))
    return [str(row.begin), end, " | ".join((row.label, *row.modifiers)), first, last, out, row.change]
