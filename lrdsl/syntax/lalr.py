"""The parser: words by one regular expression, then the textbook LALR loop over the tables.

lark makes the tables; its own run-time is not needed, which saves 40 ms at start and half of the time of a parse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, NamedTuple

from lrdsl.errors import Span
from lrdsl.syntax.tables import ABSENT, END, ROOT, Rule, Tables


class Word(NamedTuple):
    """A word of a text: a name, a number, a bracket, an operator."""

    kind: str
    text: str
    span: Span


class UnreadableError(Exception):
    """No word starts at character `at`."""

    def __init__(self, at: int) -> None:
        self.at = at


class MisplacedError(Exception):
    """`word` cannot stand where it does; the text's end is a word of the kind `END`."""

    def __init__(self, word: Word) -> None:
        self.word = word


class Parser:
    """Reads texts; `builder` has a method for every rule with a value of its own, and for words that are values."""

    def __init__(self, tables: Tables, builder: object) -> None:
        self._scanner = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in tables.words))
        self._ignored = frozenset(tables.ignored)
        self._keywords = tables.keywords
        self._rows = tables.rows
        self._rules = [(r.origin, r.size, _maker(r, builder)) for r in tables.rules]
        kinds = {*(kind for kind, _ in tables.words), *tables.keywords.values()}
        self._values = {kind: getattr(builder, kind) for kind in kinds if hasattr(builder, kind)}

    def words(self, text: str) -> Iterator[Word]:
        """The words of `text`; raises `UnreadableError` after the last that can be read."""
        end, ignored, keywords = 0, self._ignored, self._keywords
        for match in iter(self._scanner.scanner(text).match, None):  # type: ignore[attr-defined]
            kind, span = match.lastgroup, match.span()
            end = span[1]
            if kind not in ignored:
                word = match[0]
                yield Word(keywords.get(word, kind) if kind == "NAME" else kind, word, span)
        if end < len(text):
            raise UnreadableError(end)

    def parse(self, text: str) -> Any:
        """What the builder makes of `text`.

        Raises:
            UnreadableError: A character starts no word.
            MisplacedError: A word stands where none of its kind can.
        """
        rows, rules, makers = self._rows, self._rules, self._values
        states, values = [0], []
        for word in chain(self.words(text), [Word(END, "", (len(text), len(text)))]):
            kind = word.kind
            while True:
                action = rows[states[-1]].get(kind)
                if action is None:
                    raise MisplacedError(word)
                if action >= 0:
                    states.append(action)
                    values.append(makers[kind](word) if kind in makers else word)
                    break
                origin, size, make = rules[~action]
                if make is None:  # one symbol becomes another, and its value stays
                    states.pop()
                else:
                    first = len(values) - size
                    made = make(values[first:])
                    del states[first + 1 :], values[first:]
                    values.append(made)
                if origin == ROOT:
                    return values[0]
                states.append(rows[states[-1]][origin])
        raise AssertionError("the end is either reduced to the root or misplaced")


def _maker(rule: Rule, builder: object) -> Callable[[list[Any]], Any] | None:
    """From the values of a rule's symbols to its own value; None where that is the value of its only symbol."""
    if not rule.name:
        return None
    call: Callable[[list[Any]], Any] = getattr(builder, rule.name)
    if rule.children == list(range(rule.size)):
        return call

    def make(values: list[Any]) -> Any:
        found: list[Any] = []
        for child in rule.children:
            if isinstance(child, list):  # a repetition grows in place, or many items would take quadratic time
                found = found + values[child[0]] if found else values[child[0]]
            else:
                found.append(None if child == ABSENT else values[child])
        return call(found)

    return make
