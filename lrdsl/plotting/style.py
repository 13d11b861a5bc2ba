"""What the pictures have in common: colours, dashes, and how a long text is broken into lines."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

# Told apart by lightness too (the first four are 9 or more L* from each other), so that they survive grey printing.
LIGHT = ("#1f4fa8", "#e8590c", "#0a7a5a", "#5e1a87", "#b98300", "#6b7280")
DARK = ("#5b9bff", "#ffa657", "#86e8c4", "#a060e0", "#ffd866", "#b9c0cc")
DASHES: tuple[tuple[float, ...], ...] = ((), (7, 3), (2, 2.5), (9, 3, 2, 3), (4, 2), (14, 3))

SUFFIXES = (("T", 10**12), ("B", 10**9), ("M", 10**6), ("k", 10**3))
LABELLED = 3  # curves with their segments named above the plot; of more, only the boundaries are shown


def wrap(text: str, width: int, lines: int = 3) -> list[str]:
    """``text`` in lines that start with an operator where one has to be broken."""
    glued = re.sub(r"(,|>>|[-|+*/=]) ", "\\1\N{NO-BREAK SPACE}", text).replace(" =", "\N{NO-BREAK SPACE}=")
    wrapped = textwrap.wrap(glued, width, max_lines=lines, placeholder=" …")
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in wrapped] or [""]


def readable(text: str) -> str:
    """A canonical text with suffixes on its large numbers: ``5000000000000tok`` as ``5Ttok``; it means the same."""

    def shorten(found: re.Match[str]) -> str:
        number = int(found[0])
        ways = (
            f"{number / size:.12g}{suffix}"
            for suffix, size in SUFFIXES
            if size <= number and number * 10**6 % size == 0
        )
        return min((found[0], *ways), key=len)

    return re.sub(r"(?<![\w.])[0-9]{7,15}(?![0-9.e])", shorten, text)


def pick(choices: Sequence[T], index: int) -> T:
    """The choice for curve ``index``; they start again after the last."""
    return choices[index % len(choices)]
