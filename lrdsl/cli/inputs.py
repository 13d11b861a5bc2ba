"""Where texts come from, and the context options that every verb shares."""

from __future__ import annotations

import functools
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrdsl.cli import output
from lrdsl.errors import ScheduleError

if TYPE_CHECKING:
    from lrdsl.schedule import Schedule

SUFFIXES = {"": 1, "k": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


STEPS = re.compile(r"([0-9](?:_?[0-9])*(?:\.[0-9](?:_?[0-9])*)?(?:[eE]\+?[0-9]{1,2})?)([kMBT]?)")


def steps(written: str) -> int:
    """A number of steps as the language writes them: ``500``, ``10_000``, ``1.5k``, ``5e3``."""
    found = STEPS.fullmatch(str(written))
    number = Fraction(found[1]) * SUFFIXES[found[2]] if found else None
    if number is None or number.denominator != 1 or number >= 2**53:
        raise click.BadParameter(f"expected a whole number of steps such as 500 or 10k, got {written!r}")
    return int(number)


def assignment(written: str) -> tuple[str, float]:
    """``NAME=VALUE``, the value a number."""
    name, _, number = written.rpartition("=")
    try:
        if name.strip() and math.isfinite(float(number)):
            return name.strip(), float(number)
    except ValueError:
        pass
    raise click.BadParameter(f"expected NAME=VALUE with a number, got {written!r}")


@dataclass(frozen=True, slots=True)
class Text:
    """A schedule text, and the place it came from if not the command line."""

    text: str
    source: str | None = None

    def __str__(self) -> str:
        return self.source or self.text.strip()


@dataclass(frozen=True, slots=True)
class Binding:
    """The context options as given."""

    given: dict[str, Any]

    def compile(self, text: Text) -> Schedule:
        """The schedule of ``text`` in this context; without ``--base-lr`` the base is 1."""
        from lrdsl.schedule import compile

        try:
            return compile(text.text, **{**self.given, "base_lr": 1.0 if self.relative else self.given["base_lr"]})
        except ScheduleError as error:
            if error.code in ("E0402", "E0210") and error.span is None:  # not in the text: in the options
                named = re.sub("|".join(self.given), lambda name: output.option(name[0]), error.message, count=1)
                raise click.UsageError(f"{named}; {error.hint}" if error.hint else named) from None
            raise error.within(text.text, text.source) from None

    @property
    def relative(self) -> bool:
        """Are learning rates multiples of a base that was not given?"""
        return self.given["base_lr"] is None


CONTEXT: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--base-lr", {"type": float, "metavar": "RATE", "help": "What `base` and `1x` stand for. Default: 1."}),
    ("--total-steps", {"type": steps, "metavar": "N", "help": "Steps of the whole run, for `total`, `rest` and `%`."}),
    ("--steps-per-epoch", {"type": float, "metavar": "N", "help": "For durations such as `3ep`."}),
    ("--tokens-per-step", {"type": float, "metavar": "N", "help": "For durations such as `2Btok`."}),
    ("--samples-per-step", {"type": float, "metavar": "N", "help": "For durations such as `256_000smp`."}),
    (
        "--param",
        {
            "type": assignment,
            "multiple": True,
            "metavar": "NAME=VALUE",
            "help": "A named number that the text may use.",
        },
    ),
    (
        "--base",
        {
            "type": assignment,
            "multiple": True,
            "metavar": "NAME=VALUE",
            "help": "Base of another target or group: `lr[head]=1e-4`.",
        },
    ),
)


def takes_texts(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add TEXT…, ``--file`` and ``--key``; the verb gets ``texts``."""

    @functools.wraps(function)
    def verb(*, text: tuple[str, ...], file: Path | None, key: tuple[str, ...], **options: Any) -> Any:
        return function(texts=list(_texts(text, file, key)), **options)

    kind = click.Path(exists=True, dir_okay=False, path_type=Path)
    verb = click.option("--key", multiple=True, metavar="A.B", help="Which entry of the file; may be repeated.")(verb)
    verb = click.option("--file", type=kind, help="Read from a YAML, JSON or TOML file, or a file with one text.")(verb)
    return click.argument("text", nargs=-1, metavar="TEXT...")(verb)


def takes_context(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the context options; the verb gets ``binding``."""

    @functools.wraps(function)
    def verb(*, param: Sequence[tuple[str, float]], base: Sequence[tuple[str, float]], **options: Any) -> Any:
        names = [name.removeprefix("--").replace("-", "_") for name, _ in CONTEXT[:-2]]
        given = {name: options.pop(name) for name in names} | {"params": dict(param), "bases": dict(base)}
        return function(binding=Binding(given), **options)

    for name, how in reversed(CONTEXT):
        verb = click.option(name, **how)(verb)
    return verb


def _texts(given: Sequence[str], file: Path | None, keys: Sequence[str]) -> Iterator[Text]:
    if keys and file is None:
        raise click.UsageError("--key names an entry of a file: give --file too")
    if not given and file is None:
        raise click.UsageError("expected a TEXT in quotes, `-` for standard input, or --file")
    for text in given:
        yield Text(sys.stdin.read(), "<stdin>") if text == "-" else Text(text)
    if file is not None:
        try:
            yield from _read(file, keys)
        except (OSError, UnicodeDecodeError) as error:
            raise click.UsageError(f"cannot read {file}: {error}") from None


def _read(file: Path, keys: Sequence[str]) -> Iterator[Text]:
    from lrdsl.cli import config

    if not keys and file.suffix not in config.SUFFIXES:
        yield Text(file.read_text(encoding="utf-8"), str(file))
        return
    document = config.load(file)
    for key in keys:
        yield Text(config.schedule(document, key, file), f"{file}: {key}")
    if not keys:
        yield Text(config.only(document, file), str(file))
