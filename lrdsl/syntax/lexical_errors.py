"""What cannot be read at all: brackets that do not match, strings, numbers and characters that are none."""

from __future__ import annotations

import re
import unicodedata

from lrdsl.errors import ScheduleError, Span

MAX_DEPTH = 64
MAX_WORD = 64
MAX_STRING = 256

_CLOSING = {"(": ")", "[": "]"}
_BRACKET = re.compile(r'"[^"\n]*"?|#[^\n]*|[()\[\]]')  # strings and comments are matched so that theirs do not count
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Whatever starts like a number, up to where a reader would end it. A sign belongs to it only inside an exponent.
_LITERAL = re.compile(r"\.?[0-9](?:(?<=[0-9.][eE])[+-](?=[0-9])|[0-9A-Za-z_.%])*")
_GOOD = re.compile(r"[0-9]+(?:_[0-9]+)*(?:\.[0-9]+(?:_[0-9]+)*)?(?:[eE][+-]?[0-9]{1,4})?[kMBT]?(?:%|x|ep|tok|smp)?")

_SUFFIXES = {**{suffix: suffix for suffix in "kMBT"}, "K": "k", "m": "M", "b": "B", "g": "B", "G": "B", "t": "T"}
UNITS = {
    **dict.fromkeys(["e", "epoch", "epochs", "eps"], "ep"),
    **dict.fromkeys(["token", "tokens", "toks"], "tok"),
    **dict.fromkeys(["sample", "samples", "samps", "seq", "seqs"], "smp"),
    **dict.fromkeys(["step", "steps", "it", "iter", "iters", "iteration", "iterations", "updates", "s"], ""),
    **dict.fromkeys(["pct", "percent", "p"], "%"),
    **dict.fromkeys(["X", "times"], "x"),
}

_SYMBOLS = frozenset({"t", "n", "u"})
"""One-letter names of formulas."""

# What is meant by characters that keyboards and word processors put in place of plain ones.
_MEANT = {"×": "*", "·": "*", "÷": "/", "−": "-", "≤": "<=", "≥": ">=", "≠": "!=", "→": ">>", "»": ">>", "≫": ">>"}
_MEANT |= {"²": "** 2", "³": "** 3", "π": "pi", "∞": "inf"}
_MEANT_BY_CATEGORY = {"Pd": "`-`", "Pi": '`"`', "Pf": '`"`', "Zs": "an ordinary blank"}


def is_number(text: str) -> bool:
    """Is it a number of the language, with its suffix and unit if it has them?"""
    return _GOOD.fullmatch(text) is not None


def check_brackets(text: str) -> None:
    """Raise unless every bracket and quote is closed and none is nested too deep.

    Done before parsing, with a stack of its own, so that nothing behind it can recurse too deep.
    """
    stack: list[re.Match[str]] = []
    for match in _BRACKET.finditer(text):
        bracket = match[0]
        if bracket in "([":
            stack.append(match)
            if len(stack) > MAX_DEPTH:
                raise ScheduleError("E0901", f"brackets are nested deeper than {MAX_DEPTH}", match.span())
        elif bracket in ")]":
            if not stack:
                raise ScheduleError("E0102", f"unmatched `{bracket}`", match.span(), "no bracket is open here")
            opened = stack.pop()
            expected = _CLOSING[opened[0]]
            if bracket != expected:
                raise ScheduleError(
                    "E0102", f"expected `{expected}`, got `{bracket}`", match.span(), f"`{opened[0]}` is still open"
                )
        elif bracket[0] == '"':
            _check_string(match)
    if stack:
        bracket = stack[-1][0]
        hint = f"add the missing `{_CLOSING[bracket]}`"
        raise ScheduleError("E0102", f"`{bracket}` is never closed", stack[-1].span(), hint)


def _check_string(match: re.Match[str]) -> None:
    string = match[0]
    if len(string) < 2 or string[-1] != '"':
        start = match.start()
        raise ScheduleError("E0101", 'unexpected character `"`', (start, start + 1), "this string is never closed")
    if len(string) - 2 > MAX_STRING:
        message = f"a string has at most {MAX_STRING} characters, this one {len(string) - 2}"
        raise ScheduleError("E0903", message, match.span())
    if "\\" in string:
        start = match.start() + string.index("\\")
        raise ScheduleError("E0101", "unexpected character `\\`", (start, start + 1), "a string has no escapes")


def unreadable(text: str, at: int) -> ScheduleError:
    """The error for the characters at ``at``, which start no word of the language."""
    if literal := _LITERAL.match(text, at):
        if len(literal[0]) > MAX_WORD:
            return too_long("number", literal[0], literal.span())
        return ScheduleError("E0104", f"`{literal[0]}` is not a number", literal.span(), _number_hint(literal[0]))
    if name := _NAME.match(text, at):
        return too_long("name", name[0], name.span())
    return _unexpected_character(text, at)


def too_long(what: str, word: str, span: Span) -> ScheduleError:
    """The error for a number or name beyond the limit."""
    return ScheduleError("E0903", f"a {what} has at most {MAX_WORD} characters, this one {len(word)}", span)


def _unexpected_character(text: str, at: int) -> ScheduleError:
    char = text[at]
    shown = f"`{char}`" if char.isprintable() else f"U+{ord(char):04X}"
    return ScheduleError("E0101", f"unexpected character {shown}", (at, at + 1), _character_hint(text, at))


def _character_hint(text: str, at: int) -> str | None:
    char, before, after = text[at], text[max(0, at - MAX_WORD) : at].rstrip(), text[at + 1 :].lstrip()
    if name := unicodedata.name(char, "") if ord(char) > 127 else "":
        folded = unicodedata.normalize("NFKC", char) if name.startswith("FULLWIDTH") else None
        plain = _MEANT.get(char, folded)
        meant = f"`{plain}`" if plain else _MEANT_BY_CATEGORY.get(unicodedata.category(char))
        return f"this is {name}" + (f"; write {meant}" if meant else "")
    if not char.isprintable():
        return "a character that cannot be seen; delete it"
    if char == "%":
        number = re.search(r"[0-9][0-9_.]*$", before)
        if number and after[:1] in ("", ",", ")", ";", "]", "|", ">"):
            return f"write `{number[0]}%`: no blank before a unit"
        return "the remainder of a / b is `mod(a, b)`, inside expr(...)"
    group = re.search(r"(^|;)\s*[A-Za-z_]\w*\[[^\[\]=;]*$", before)
    start = re.search(r"(?:^|;)\s*([A-Za-z_]\w*)$", before)
    end = re.match(r"([A-Za-z_]\w*)\s*=", after)  # only what is set has a group
    return {
        "'": 'strings are written "..."',
        ":": "a group is a name, a string or a number" if group else "a name is set with `=`",
        "^": "a power is written `**`",
        ".": f"write `{start[1]}[{end[1]}]`" if start and end else "names have no `.` in them",
        "?": "a choice is `where(condition, a, b)`",
        "{": "brackets are `(...)` and `[...]`",
        "}": "brackets are `(...)` and `[...]`",
        "$": "names are written as they are, without `$`",
        "&": "`and` of two conditions is `min(a, b)`",
        "!": "`not` of a condition is `where(condition, 0, 1)`",
        "\\": "a line needs no `\\` to go on",
    }.get(char)


def _number_hint(literal: str) -> str:
    """What was probably meant, offered only if that is a number."""
    if re.fullmatch(r"0[xXoObB][0-9A-Fa-f_]+", literal):
        return "numbers are decimal" + _decimal(literal)
    if re.search(r"[0-9.][eE][+-]?[0-9]{5,}", literal):
        return "an exponent has at most 4 digits"
    if re.fullmatch(r"[0-9._]+[eE][+-]?", literal):
        return f"an exponent needs digits: `{literal.rstrip('eE+-')}e-3`"
    if remainder := re.fullmatch(r"([0-9._]+)%([0-9._]+)", literal):
        return f"the remainder is `mod({remainder[1]}, {remainder[2]})`, inside expr(...)"
    number, letters = _split(literal)
    if number.count(".") > 1:
        return "a number has one decimal point"
    digits = re.sub(r"_+", "_", number).strip("_")
    digits = ("0" if digits.startswith(".") else "") + digits + ("0" if digits.endswith(".") else "")
    why = "units: %, x, ep, tok, smp"
    if letters in _SYMBOLS:
        return f"did you mean `{digits} * {letters}`? (a product needs its `*`)"
    if letters in UNITS:
        letters = UNITS[letters]
        why = why if letters else "a plain number is steps"
    elif letters and letters[0] in _SUFFIXES:
        letters = _SUFFIXES[letters[0]] + UNITS.get(letters[1:], letters[1:])
        why = "suffixes: k, M, B, T"
    elif "." in (number[0], number[-1]):
        why = "digits on both sides of the point"
    elif digits != number:
        why = "`_` stands between digits, one at a time"
    meant = digits + letters
    return (
        f"did you mean `{meant}`? ({why})"
        if _GOOD.fullmatch(meant)
        else "suffixes: k, M, B, T; units: %, x, ep, tok, smp"
    )


def _decimal(literal: str) -> str:
    """``0x10`` as a decimal number, if it is one."""
    try:
        return f": `{int(literal, 0)}`"
    except ValueError:
        return ""


def _split(literal: str) -> tuple[str, str]:
    """Digits with their exponent, and the letters after them."""
    end = re.match(r"[0-9._]+(?:[eE][+-]?[0-9]+)?", literal).end()  # type: ignore[union-attr]  # it starts like a number
    return literal[:end], literal[end:]
