"""The longer page of each diagnostic code: what it means, why, a wrong example, and what to write instead.

One Markdown file per code: ``lrdsl explain E0503`` prints it, ``docs/diagnostics.md`` holds them all, and the tests run
every example. A block marked ``wrong`` gives the page's own code, one marked ``right`` does not; texts are read with
`CONTEXT`, Python says its own. The heading, and the message after each wrong example, are written into the files by
``python -m lrdsl.codegen``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
CONTEXT = {
    "base_lr": 1e-3,
    "total_steps": 10000,
    "steps_per_epoch": 100,
    "tokens_per_step": 1_000_000,
    "samples_per_step": 256,
    "bases": {"lr[head]": 1e-3},
}
"""What the examples are read with."""

_BLOCK = re.compile(r"```(lrdsl|python) (wrong|right)\n(.*?)\n```\n(?:\n```text\n(.*?)\n```\n)?", re.DOTALL)
_INDENT = "    "


@dataclass(frozen=True, slots=True)
class Example:
    """One block of a page.

    Attributes:
        language: ``lrdsl``, a text that is read with `CONTEXT`; or ``python``, statements that may use ``lrdsl``.
        right: Is this what to write, and not what is wrong?
        code: The text or the statements.
        message: What a wrong one gives.
    """

    language: str
    right: bool
    code: str
    message: str = ""


def path(code: str) -> Path:
    """The file of a code."""
    return FOLDER / f"{code}.md"


def read(code: str) -> str:
    """The page of a code, in Markdown."""
    return path(code).read_text("utf-8")


def examples(page: str) -> list[Example]:
    """The examples of a page, in order."""
    return [_example(found) for found in _BLOCK.finditer(page)]


def rewrite(page: str, show: Callable[[Example], str]) -> str:
    """The page with every example as `show` gives it."""
    return _BLOCK.sub(lambda found: show(_example(found)), page)


def plain(page: str) -> str:
    """The page for a terminal: no marks of Markdown, examples indented."""
    return rewrite(page.removeprefix("# "), _plain).rstrip()


def _plain(example: Example) -> str:
    shown = [] if example.code in example.message else [example.code]  # most messages show the text themselves
    shown += [example.message] if example.message else []
    return "\n".join(f"{_INDENT}{line}".rstrip() for line in "\n\n".join(shown).split("\n")) + "\n"


def _example(found: re.Match[str]) -> Example:
    language, mark, code, message = found.groups(default="")
    return Example(language, mark == "right", code, message)
