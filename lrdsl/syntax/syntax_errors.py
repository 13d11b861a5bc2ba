"""What is wrong when every word can be read but a word stands in the wrong place (E0103).

The parser knows only that a word cannot stand where it does. What a reader needs to hear follows from the words
around it: two values side by side lack something between them, anything else lacks a value before or after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lrdsl.errors import ScheduleError, Span
from lrdsl.syntax.lalr import Word
from lrdsl.syntax.lexical_errors import UNITS, is_number

CODE = "E0103"
_VALUES = frozenset({"NAME", "NUMBER", "STRING", "TRUE", "FALSE", "REST"})
_OPERATORS = frozenset({"+", "-", "*", "/", "**", "<", "<=", ">", ">=", "==", "!="})
_UNITS = frozenset({"ep", "x", "tok", "smp", "k", "M", "B", "T"})
_KEYWORDS = frozenset({"rest", "true", "false"})
_ONE_AFTER_ANOTHER = "`>>` runs one segment after another"
_GROUP = "a group is a name, a string or a number"
_LONGEST_SHOWN = 24
_NOT_A_WORD = {
    "and": "`and` of two conditions is `min(a, b)`",
    "or": "`or` of two conditions is `max(a, b)`",
    "not": "`not` of a condition is `where(condition, 0, 1)`",
    "if": "a choice is `where(condition, a, b)`",
    "else": "a choice is `where(condition, a, b)`",
    "then": _ONE_AFTER_ANOTHER,
    "lambda": "a formula is `expr(...)`, without `lambda`",
    "in": "a `;` ends a `let`: `let w = 500; warmup(w)`",
    "version": "the version is `lrdsl 1;`",
}
"""Words of other languages, and what they are here."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The words of a text and the index of the one that cannot stand where it does (or of the end)."""

    text: str
    words: Sequence[Word]
    index: int

    def word(self, offset: int = 0) -> str:
        """The word ``offset`` away, or nothing."""
        at = self.index + offset
        return self.words[at].text if 0 <= at < len(self.words) else ""

    def kind(self, offset: int = 0) -> str:
        """The kind of that word, or nothing."""
        at = self.index + offset
        return self.words[at].kind if 0 <= at < len(self.words) else ""

    def enclosing(self) -> str:
        """What holds this place: ``""`` (nothing), ``"["``, ``"("``, ``"group"``, or the name of a call."""
        closed = 0
        for at in range(self.index - 1, -1, -1):
            if self.words[at].text in (")", "]"):
                closed += 1
            elif self.words[at].text in ("(", "["):
                if not closed:
                    bracket, named = self.words[at].text, at > 0 and self.words[at - 1].kind == "NAME"
                    return bracket if not named else "group" if bracket == "[" else self.words[at - 1].text
                closed -= 1
        return ""

    def operand(self, at: int, direction: int) -> str:
        """The value that ends (direction -1) or starts (+1) at word ``at``, shortened if it is long."""
        first = last = at
        if direction < 0 and self.words[at].text in (")", "]"):
            first = self._partner(at, -1)
            if first and self.words[first - 1].kind == "NAME":
                first -= 1
        if direction > 0:
            opens = at + 1 if self.words[at].kind == "NAME" else at
            if opens < len(self.words) and self.words[opens].text == "(":
                last = self._partner(opens, +1)
        start, end = self.words[first].span[0], self.words[last].span[1]
        whole = " ".join(self.text[start:end].split())
        if len(whole) <= _LONGEST_SHOWN:
            return whole
        head = self.words[first].text[:_LONGEST_SHOWN]
        return {"(": "(...)", "[": "[...]"}.get(head, f"{head}(...)" if last > first else f"{head}...")

    def _partner(self, at: int, direction: int) -> int:
        """The bracket that matches the one at word ``at``."""
        depth = 0
        while 0 <= at < len(self.words):
            if self.words[at].text in ("(", "["):
                depth += direction
            elif self.words[at].text in (")", "]"):
                depth -= direction
            if not depth:
                return at
            at += direction
        return at - direction


def misplaced(text: str, words: Sequence[Word], at: int | None) -> ScheduleError:
    """The error for the word that starts at ``at``, or for the end of the text if that is None."""
    index = len(words) if at is None else next(i for i, word in enumerate(words) if word.span[0] == at)
    place = _Place(text, words, index)
    if index == len(words):
        end = words[-1].span[1]
        return ScheduleError(CODE, "unexpected end", (end, end), _after(place) or _unfinished(place))
    span = words[index].span
    for word in words[max(0, index - 1) : index + 1]:
        if word.text in _NOT_A_WORD and place.kind() in _VALUES:
            return ScheduleError(CODE, f"unexpected `{word.text}`", word.span, _NOT_A_WORD[word.text])
    if _ends_value(place) and (place.kind() in _VALUES or place.word() == "("):
        left, right = place.operand(index - 1, -1), place.operand(index, +1)
        return ScheduleError(CODE, f"`{left}` and `{right}` stand side by side", span, _between(place, left, right))
    span = _arrow(text, span)
    return ScheduleError(CODE, f"unexpected `{text[slice(*span)]}`", span, _unexpected(place))


def _arrow(text: str, span: Span) -> Span:
    """The whole of ``->``, ``=>`` or ``//``, of which the parser names one half."""
    for start in (span[0] - 1, span[0]):
        if text[max(0, start) : start + 2] in ("->", "=>", "//"):
            return start, start + 2
    return span


def _ends_value(place: _Place) -> bool:
    return place.kind(-1) in _VALUES or place.word(-1) in (")", "]")


def _between(place: _Place, left: str, right: str) -> str | None:
    """What belongs between two values."""
    before, here, after, inside = place.word(-1), place.word(), place.word(1), place.enclosing()
    after_number, is_name = place.kind(-1) == "NUMBER", place.kind() == "NAME"
    if place.word(-2) == "let":
        return f"write `let {left} = {right}`"
    if place.word(-2) == "lrdsl":
        return f"write `lrdsl {left};`"
    if after_number and (unit := _unit(place)):
        return unit
    if after_number and before.isdigit() and here.isdigit() and len(here) == 3:
        return f"write `{left}_{here}`: no blank inside a number"
    if is_name and not inside and after in ("=", "["):
        return f"a `;` belongs before `{here}`"
    if is_name and after == "=":
        return f"write `{left}, {here}={place.word(2)}`" if place.kind(2) in _VALUES else "a `,` belongs between them"
    if here == "(" and before in (")", "]"):
        return "only a name can be called"
    if inside == "expr" or (after_number and (here == "(" or (is_name and inside in ("", "(")))):
        return f"write `{left} * {right}`"
    if inside == "group":
        return "a target names one group"
    if inside not in ("", "("):
        return f"write `{left}, {right}`"
    if place.kind(-1) == "NAME" and place.kind() == "NUMBER":
        return f"write `{left}({right})`"
    return f"write `{left} >> {right}`" if before == ")" and after == "(" else _ONE_AFTER_ANOTHER


def _unit(place: _Place) -> str | None:
    """What a word after a number says if it is a unit, or a way to say how often."""
    number, here, followed = place.word(-1), place.word(), place.kind(1) in _VALUES
    if followed and here in ("x", "times"):
        body = place.operand(place.index + 1, +1)
        return f"write `repeat({number}, {body})`" + (f" or `{number} * {body}`" if here == "x" else "")
    if here == "times":
        return f"rounds are `repeat({number}, ...)`"
    unit = here if here in _UNITS else UNITS.get(here.lower()) if len(here) > 1 else None
    if unit is None or not is_number(number + unit):
        return None
    if here in _UNITS:
        return f"write `{number}{here}`: no blank before a unit"
    return f"write `{number}{unit}`" + ("" if unit else ": a plain number is steps")


def _after(place: _Place) -> str | None:
    """What is missing after the word before this place."""
    before = place.word(-1)
    if before == ">>":
        return "a segment belongs after `>>`"
    if before == "|":
        return "a modifier belongs after `|`"
    if before in _OPERATORS or before == "=":
        return f"a value belongs after `{before}`"
    if before == "let":
        return "a name belongs after `let`: `let w = 500;`"
    if before == "lrdsl":
        return "a version belongs after `lrdsl`: `lrdsl 1;`"
    return None


def _unfinished(place: _Place) -> str | None:
    """What is missing at the end of a text whose last word is a value."""
    if place.word(-2) == "let":
        return f"write `let {place.word(-1)} = ...`"
    if place.word(-2) == "lrdsl":
        return f"write `lrdsl {place.word(-1)};`, then the schedule"
    if place.word(-1) == "]":
        group = place.operand(place.index - 1, -1)
        call = f"`{group[:-1].replace('[', '(', 1)})` calls a function" if place.kind(-2) == "NUMBER" else ""
        return f"`{group} = ...` sets a group, {call}" if call else f"write `{group} = ...`"
    return None


def _unexpected(place: _Place) -> str | None:
    """What is wrong with a word that follows something it cannot follow."""
    before, here, inside = place.word(-1), place.word(), place.enclosing()
    if here == ">" and before in (">", ">>", "-"):
        return _ONE_AFTER_ANOTHER
    if here == "=" and place.word(1) in (">", ">>"):
        return _ONE_AFTER_ANOTHER
    if before == here == "|":
        return "write one `|`"
    if before == here == "=":
        return "write one `=` to set, `==` to compare"
    if before == here and here in (",", ";"):
        return f"there is nothing between the two `{here}`"
    if before == here == "/":
        left, right = place.word(-2), place.operand(place.index + 1, +1) if place.kind(1) in _VALUES else ""
        alone = right and place.kind(-2) in _VALUES and place.word(-3) not in _OPERATORS
        quotient = f"{left} / {right}" if alone else "a / b"
        return f"the whole part of a quotient is `floor({quotient})`, inside expr(...)"
    if inside == "group":
        return "a target names one group: `lr[a] = ...; lr[b] = ...`" if here == "," else _GROUP
    if here == "let":
        return "`let` starts a statement, so a `;` belongs before it" if not inside else "`let` starts a statement"
    if here == "lrdsl":
        return "`lrdsl 1;` stands at the very start"
    if not _ends_value(place):
        return _after(place) or _before(place)
    if here == "[":
        return "only a target has a group: `lr[head] = ...`"
    if here == "=" and before in _KEYWORDS:
        return f"`{before}` is a word of the language and cannot be set"
    if here == "=":
        return "only an argument's name can stand before `=`" if inside else "only a name can be set: `lr = ...`"
    if here == ",":
        if not inside and place.kind(1) == "NAME" and place.word(2) in ("=", "["):
            return "write `;`, which separates statements"
        return "parentheses hold one value" if inside else _ONE_AFTER_ANOTHER
    if here == ";":
        return "`;` separates statements, not arguments"
    if here in _OPERATORS:
        return "comparisons do not chain: put one of them in parentheses"
    return None


def _before(place: _Place) -> str | None:
    """What is missing before this word, at the start of something."""
    here = place.word()
    if here == ">>":
        return "a segment belongs before `>>`"
    if here == "|":
        return "a schedule belongs before `|`"
    if here == "=":
        return "a name belongs before `=`"
    if here in (")", "]"):
        return "there is nothing between the brackets"
    if here in _OPERATORS or here in (",", ";"):
        return f"a value belongs before `{here}`" if here in _OPERATORS else f"there is nothing before `{here}`"
    return None
