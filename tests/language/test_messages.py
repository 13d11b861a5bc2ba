"""Every message, whole, as a golden file: the expression, ``---``, what the user reads."""

import re
from collections import Counter
from pathlib import Path

import pytest

import lrdsl
from lrdsl.errors import CODES, ScheduleError
from lrdsl.syntax.parser import parse
from tests.language.corpus import CONTEXT

FOLDER = Path(__file__).parents[1] / "golden" / "errors"
FILES = sorted(FOLDER.glob("*.txt"))
SYNTAX = ["E0100", "E0101", "E0102", "E0103", "E0104", "E0105", "E0110", "E0207"]
INTERNAL = re.compile(r"NAME|NUMBER|STRING|LPAR|RPAR|LSQB|RSQB|MULOP|ADDOP|CMPOP|POWOP|\$END|ANON|Token")


def failure(text: str) -> ScheduleError:
    """The error of a text, from its syntax or else from its meaning."""
    with pytest.raises(ScheduleError) as caught:
        parse(text)
        lrdsl.compile(text, **CONTEXT)
    return caught.value


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_message(path, golden):
    text = path.read_bytes().decode().split("\n---\n")[0]
    error = failure(text)
    assert path.stem.startswith(error.code + "-")
    assert error.text == text
    golden(path, f"{text}\n---\n{error}\n")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_message_is_in_our_words(path):
    error = failure(path.read_bytes().decode().split("\n---\n")[0])
    said = f"{error.message} {error.hint}"
    assert not INTERNAL.search(said)
    assert error.message == error.message.strip() and "\n" not in said
    assert not error.message.endswith(".")


def test_every_syntax_code_has_two_messages():
    count = Counter(path.stem.split("-")[0] for path in FILES)
    assert set(count) <= set(CODES)
    assert not [code for code in SYNTAX if count[code] < 2]


def code_of(path):
    """What stands in backticks in the hint, and could be pasted."""
    hint = path.read_bytes().decode().splitlines()[-1].partition("^ ")[2]
    return [code for code in re.findall(r"`(.+?)`", hint) if re.search(r"\w\(.*\)|^let ", code) and "..." not in code]


@pytest.mark.parametrize(
    ("path", "code"), [pytest.param(path, code, id=path.stem) for path in FILES for code in code_of(path)]
)
def test_code_in_a_hint_compiles(path, code):
    text = path.read_bytes().decode().split("\n---\n")[0]
    lets = "".join(f"{let};" for let in re.findall(r"let \w+ = [^;]+(?=;)", text))
    forms = (code, f"{lets}{code}", f"hold() | {code}", f"{code}; hold()", f"{code} hold()", f"expr({code})")
    assert any(map(compiles, forms)), f"`{code}` is no schedule, modifier or formula"


def compiles(text):
    try:
        return bool(lrdsl.compile(text, **{**CONTEXT, "params": {"a": 2, "b": 1, "condition": 1}}).targets)
    except ScheduleError:
        return False


def test_hints_show_code():
    assert sum(len(code_of(path)) for path in FILES) > 40


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_message_is_short(path):
    error = failure(path.read_bytes().decode().split("\n---\n")[0])
    assert len(error.message) <= 110 and "…" not in str(error)
    assert max(map(len, str(error).splitlines()[2:4])) <= 115 + len(error.hint or "")
