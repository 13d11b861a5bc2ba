"""What fuzzing starts from, and replays: the texts that the tests agree on, and every find (``tests/corpus``)."""

from __future__ import annotations

from pathlib import Path

import lrdsl
from lrdsl.errors import ScheduleError
from tests.fuzz.properties import CONTEXTS
from tests.language.corpus import ACCEPTED, REJECTED

FOLDER = Path(__file__).parents[1] / "corpus"
WORDS_IN_A_LINE = 8


def texts() -> list[str]:
    """Every text: agreed ones first, then the finds by name."""
    finds = [read_text(path) for path in sorted((FOLDER / "texts").glob("*.txt"))]
    return [*ACCEPTED, *(text for group in REJECTED.values() for text in group), *finds]


def packs() -> list[bytes]:
    """Every packed Program: those of the accepted texts, then the finds by name."""
    found = []
    for text in ACCEPTED:
        try:
            schedule = lrdsl.compile(text, **CONTEXTS[0])
        except ScheduleError:  # a primitive that is not there yet
            continue
        found += [track.program.pack() for track in schedule.tracks.values()]
    return found + [read_pack(path) for path in sorted((FOLDER / "programs").glob("*.hex"))]


def context_of(text: str) -> dict[str, object]:
    """The context that a text is compiled in: mostly the common one, else one with less or with extremes in it."""
    return CONTEXTS[(0, 0, 0, 0, 0, 1, 2, 3)[len(text) % 8]]


def read_text(path: Path) -> str:
    """A text as it was found, lone surrogates and carriage returns included."""
    return path.read_bytes().decode("utf-8", "surrogatepass")


def write_text(path: Path, text: str) -> None:
    """The inverse of `read_text`."""
    path.write_bytes(text.encode("utf-8", "surrogatepass"))


def read_pack(path: Path) -> bytes:
    """A packed Program written as hexadecimal words."""
    return bytes.fromhex(path.read_text())


def write_pack(path: Path, data: bytes) -> None:
    """The inverse of `read_pack`."""
    lines = [data[at : at + 64].hex(" ", WORDS_IN_A_LINE) for at in range(0, len(data), 64)]
    path.write_text("\n".join(lines) + "\n")
