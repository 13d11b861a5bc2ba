"""Text to tree, or what is wrong with the text in the words of the language."""

from __future__ import annotations

from contextlib import suppress
from functools import cache, lru_cache
from typing import cast

from lrdsl.errors import ScheduleError
from lrdsl.syntax import tables
from lrdsl.syntax.builder import Builder
from lrdsl.syntax.lalr import MisplacedError, Parser, UnreadableError, Word
from lrdsl.syntax.lexical_errors import MAX_DEPTH, check_brackets, unreadable
from lrdsl.syntax.syntax_errors import misplaced
from lrdsl.syntax.tables import END
from lrdsl.syntax.tree import Node, Script, children

MAX_CHARACTERS = 65536


@lru_cache(maxsize=256)
def parse(text: str) -> Script:
    """The tree of a schedule text.

    Args:
        text: One or more statements of language 1.

    Returns:
        The tree. Trees are immutable, and the same text may give the same tree.

    Raises:
        ScheduleError: The text is malformed or beyond a limit; ``text`` is set.
    """
    try:
        if len(text) > MAX_CHARACTERS:
            raise ScheduleError("E0904", f"a text has at most {MAX_CHARACTERS} characters, this one {len(text)}")
        check_brackets(text)
        script = _parse(text)
        if not script.statements:
            raise ScheduleError("E0100", "empty schedule", (0, len(text)), "`hold()` keeps the rate")
        for statement in script.statements:
            _check_depth(statement.value, MAX_DEPTH)
    except ScheduleError as error:
        raise error.within(text) from None
    return script


def _parse(text: str) -> Script:
    try:
        return cast(Script, _parser().parse(text))
    except UnreadableError as error:
        raise unreadable(text, error.at) from None
    except MisplacedError as error:
        raise misplaced(text, _words(text), None if error.word.kind == END else error.word.span[0]) from None


@cache
def _parser() -> Parser:
    """The parser, made on first use."""
    return Parser(tables.load(), Builder())


def _words(text: str) -> list[Word]:
    """The words of ``text``, up to the first character that starts none."""
    words: list[Word] = []
    with suppress(UnreadableError):  # the misplaced word stands before it
        for word in _parser().words(text):
            words.append(word)  # one by one, to keep those before the exception
    return words


def _check_depth(node: Node, room: int) -> None:
    """Counting brackets does not bound the tree: ``1 + 1 + 1 + ...`` and ``----1`` nest without any."""
    if not room:
        raise ScheduleError("E0901", f"nested deeper than {MAX_DEPTH}", node.span)
    for child in children(node):
        _check_depth(child, room - 1)
