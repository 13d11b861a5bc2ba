"""The lexer's tokens, against a golden file and the language's own lexer."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from lark import Lark

from tests import cases
from tests.frameworks.installed import need
from tests.frameworks.pasting import paste
from tests.frameworks.test_places import LINES, TEXTS

pygments = need("pygments")
lexers = need("pygments.lexers")
token = need("pygments.token").Token

from lrdsl.integrations.pygments import ScheduleLexer  # noqa: E402

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "tokens.txt"
EVERY_TEXT = [*TEXTS.values(), LINES, *(case.text for case in (*cases.CASES, *cases.PEERS))]

installed = pytest.mark.skipif(
    not any(point.name == "lrdsl" for point in entry_points(group="pygments.lexers")),
    reason="not run: lrdsl is not installed, only imported",
)


def tokens(text: str) -> list[tuple[Any, str]]:
    return [(kind, part) for _, kind, part in ScheduleLexer().get_tokens_unprocessed(text)]


@pytest.mark.works("Pygments", "tokens as the language itself reads them")
def test_tokens_cover_every_text_and_are_those_of_the_language() -> None:
    assert len(EVERY_TEXT) > 100
    for text in EVERY_TEXT:
        assert "".join(part for _, part in tokens(text)) == text
        assert not [part for kind, part in tokens(text) if kind in token.Error], text
    language = Lark((ROOT / "grammars" / "schedule.lark").read_text("utf-8"), parser="lalr", lexer="basic")
    whole = "\n".join(EVERY_TEXT)  # at once: lark makes its lexer at each call
    read = [part for kind, part in tokens(whole) if kind not in token.Text.Whitespace and kind not in token.Comment]
    assert read == [str(part) for part in language.lex(whole)]


def test_tokens_of_a_text_with_everything(golden: Callable[[Path, str], None]) -> None:
    text = (
        "lrdsl 1; let w = 5%;  # a comment\n"
        'lr = warmup(w, shape=log) >> cosine(1_000, min=1e-6) | plateau(metric="val loss", patience=3);\n'
        "lr[head] = 0.5 * expr(max(0.1x, base * exp(-t / 10k)) ** 2) >> cosin(rest, true)"
    )
    rows = (f"{str(kind).removeprefix('Token.'):24}{part!r}\n" for kind, part in tokens(text))
    golden(GOLDEN, text + "\n---\n" + "".join(rows))


@pytest.mark.parametrize("text", ["warmup(5) $ cosine(3)", "3cosine(5)", 'plateau("open'])
def test_what_is_no_token_is_an_error(text: str) -> None:
    assert [part for kind, part in tokens(text) if kind in token.Error]
    assert "".join(part for _, part in tokens(text)) == text


@installed
@pytest.mark.works("Pygments", "found by name, by rich too")
def test_the_entry_point_and_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lexers.get_lexer_by_name("lrdsl").name == "lrdsl"
    assert type(lexers.get_lexer_for_filename("a.lrdsl")).__name__ == "ScheduleLexer"

    out = io.StringIO()
    need("rich.console")
    from rich import console

    make = console.Console
    monkeypatch.setattr(
        console, "Console", lambda: make(file=out, force_terminal=True, color_system="standard", width=80)
    )
    paste("pygments.md")
    assert "\x1b[" in out.getvalue()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert "warmup(500) >> cosine(10000, min=1e-6) | plateau(patience=3)" in plain
