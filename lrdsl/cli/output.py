"""What goes to the terminal: colour where it is wanted, diagnostics, tables."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import TextIO

import click

from lrdsl.errors import ScheduleError


def coloured(stream: TextIO) -> bool:
    """Is ``stream`` a terminal whose user did not ask for plain text (https://no-color.org)?"""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def unicode(stream: TextIO) -> bool:
    """Can ``stream`` show braille?"""
    return (stream.encoding or "").lower().replace("-", "") in ("utf8", "utf16", "utf32")


def complain(message: str) -> None:
    """Print a message to stderr."""
    click.echo(f"lrdsl: {message}", err=True)


def diagnose(error: ScheduleError) -> None:
    """Print an error to stderr, its code and carets coloured on a terminal."""
    text = rendered(error)
    if coloured(sys.stderr):
        text = re.sub(r"^E\d{4}", lambda code: click.style(code[0], fg="red", bold=True), text)
        text = re.sub(r"(\^+)(.*)$", lambda caret: click.style(caret[0], fg="red"), text)
    click.echo(text, err=True, color=coloured(sys.stderr))


def rendered(error: ScheduleError) -> str:
    """The error as this command's user should read it: arguments of `compile` are options here."""
    hint = error.hint and re.sub(r"(?<=^pass `)(\w+)=\.\.\.", lambda name: option(name[1]), error.hint)
    hint = hint and re.sub(r'(?<=^pass `)bases={"(.+)": \.\.\.}', r"--base \1=...", hint)
    text, source = error.text, error.source
    return str(ScheduleError(error.code, error.message, error.span, hint, text, source))


def option(argument: str) -> str:
    """The option that an argument of `compile` is here."""
    return "--" + {"params": "param", "bases": "base"}.get(argument, argument.replace("_", "-"))


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> None:
    """Print rows in columns: number ``left`` to the left, the others to the right."""
    if coloured(sys.stdout):
        _rich_table(headers, rows, left)
        return
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    for row in (headers, *rows):
        cells = (f"{c:<{w}}" if i == left else f"{c:>{w}}" for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        click.echo("  ".join(cells).rstrip())


def _rich_table(headers: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for index, header in enumerate(headers):
        shown.add_column(header, justify="left" if index == left else "right", overflow="fold")
    for row in rows:
        shown.add_row(*map(Text, row))
    Console().print(shown)
