"""The command `lrdsl`: finds the verb, imports no more than it needs, and turns every failure into a message."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import click

from lrdsl._version import __version__
from lrdsl.cli import output
from lrdsl.errors import ScheduleError

VERBS = {
    "plot": ("lrdsl.cli.plot", "Draw schedules: in the terminal, as SVG or PNG, or as numbers."),
    "check": ("lrdsl.cli.text", "Say whether schedules are valid, and what to know about them."),
    "fmt": ("lrdsl.cli.text", "Print the canonical text of schedules."),
    "explain": ("lrdsl.cli.text", "Show a schedule segment by segment, or what a code means."),
    "list": ("lrdsl.cli.text", "List the primitives, or show one in full."),
    "doctor": ("lrdsl.cli.doctor", "Say what is installed and live, and why the rest is not."),
}

WRONG, MISSING, INTERNAL = (
    1,
    3,
    70,
)  # click itself ends with 2 on wrong usage; 70 is sysexits' "internal software error"


class Verbs(click.Group):
    """The verbs, each imported when it is called; their one-line helps are known beforehand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the help."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The verb of that name."""
        if name not in VERBS:
            return None
        command: click.Command = getattr(import_module(VERBS[name][0]), name if name != "list" else "list_")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb; a text in its place is a likely slip."""
        word = args[0]
        if word not in VERBS and not word.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(word, VERBS, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"verbs are {', '.join(VERBS)}"
            if not near and not word.isalnum():
                hint = f"to see a schedule, write `lrdsl plot '{word}'`"
            ctx.fail(f"there is no verb `{word}`; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, without importing any."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]}, subcommand_metavar="VERB [ARGS]...")
@click.version_option(__version__, prog_name="lrdsl", message="%(prog)s %(version)s")
def cli() -> None:
    """Learning-rate schedules as text.

    \b
      lrdsl plot 'warmup(500) >> cosine(10000, min=1e-6) | plateau(patience=3)'

    Use single quotes: `>>`, `|` and `(` mean something to the shell. Or write `-` to read from standard input, or
    `--file cfg.yaml --key train.lr` to read from a config.

    Exit status: 0 fine, 1 the text is wrong, 2 wrong usage, 3 something is not installed.
    """  # noqa: D301  (click looks for the very character)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: never with a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        cli.main(arguments, prog_name="lrdsl", standalone_mode=True)
    except ScheduleError as error:
        output.diagnose(error)
        sys.exit(WRONG)
    except ImportError as error:
        if error.name != "matplotlib":
            _internal(error)
        output.complain(error.msg)
        sys.exit(MISSING)
    except Exception as error:
        _internal(error)
    raise AssertionError("click always exits")


def _internal(error: Exception) -> NoReturn:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace is not None else ""
    output.complain(
        f"internal error: {type(error).__name__}: {error}{place}\n"
        "This is a bug. Please report it, with the command you gave and the output of `lrdsl doctor`."
    )
    sys.exit(INTERNAL)
