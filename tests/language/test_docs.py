"""The examples of docs/language.md are texts of the language, and its message is the one that users see."""

import re
from pathlib import Path

import pytest

import lrdsl
from lrdsl.syntax.parser import parse
from tests.language.corpus import CONTEXT

PAGE = (Path(__file__).parents[2] / "docs" / "language.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```lrdsl\n(.*?)\n```", PAGE, re.DOTALL)
# A block is one text if it has several statements, else one text per line.
TEXTS = [text for block in BLOCKS for text in ([block] if ";" in block else block.split("\n"))]


@pytest.mark.parametrize("text", TEXTS)
def test_example_compiles(text):
    assert lrdsl.compile(text, **CONTEXT).targets


def test_the_message_shown_is_the_real_one():
    (shown,) = re.findall(r"```text\n(.*?)\n```", PAGE, re.DOTALL)
    with pytest.raises(lrdsl.ScheduleError) as caught:
        parse("warmup(5) cosine(10)")
    assert str(caught.value) == shown
