"""`ScheduleError`, the table of diagnostic codes, and the one renderer with carets."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["CODES", "Note", "ScheduleError", "Span"]

Span = tuple[int, int]
"""Character offsets ``[start, end)`` into the text."""

CODES: dict[str, str] = {
    # Syntax.
    "E0100": "empty schedule",
    "E0101": "unexpected character",
    "E0102": "a bracket is never closed, or closes nothing",
    "E0103": "something is missing or in the wrong place",
    "E0104": "not a number",
    "E0105": "a number too large or too small for a double",
    "E0110": "the text asks for another language version",
    "E0111": "a schedule without a name must be the only one",
    "E0112": "named and unnamed schedules are mixed",
    "E0113": "there is no schedule, only `let`",
    # Names and arguments.
    "E0201": "unknown name",
    "E0202": "unknown argument",
    "E0203": "an argument is given twice",
    "E0204": "unknown function",
    "E0205": "named arguments are not possible here",
    "E0206": "wrong number of arguments",
    "E0207": "a positional argument follows a named one",
    "E0208": "a required argument is missing",
    "E0209": "no modifier listens to this metric",
    "E0210": "the name is reserved",
    "E0211": "the name is already defined",
    "E0212": "unknown target",
    "E0213": "a target is set twice",
    "E0214": "a `let` refers to itself",
    # Kinds of values.
    "E0301": "a rate is needed",
    "E0302": "a duration is needed",
    "E0303": "a plain number is needed",
    "E0304": "no arithmetic on `rest` or `inf`",
    "E0305": "the name only exists inside expr(...)",
    "E0306": "a function is used as a value",
    "E0307": "the operation has no meaning for these values",
    "E0308": "division by zero",
    "E0309": "a number where a schedule is due, or the other way round",
    "E0310": "units have no meaning inside expr(...)",
    "E0311": "a schedule cannot be used inside expr(...)",
    "E0312": "a whole number, not negative, is needed",
    "E0313": "true or false is needed",
    "E0314": "a metric name is needed",
    "E0315": "one of a few words is needed",
    "E0316": "a list is needed",
    "E0317": "the list is empty",
    "E0318": "the formula needs a length",
    # Context and lengths.
    "E0401": "the context lacks a value",
    "E0402": "a context value is wrong",
    "E0403": "a length is negative",
    "E0404": "a length or count is too large",
    "E0405": "a length must be a whole number of steps",
    "E0406": "at least one step or round is needed",
    "E0407": "`rest` or `until` has no meaning here",
    "E0408": "two lengths of one sequence are left open",
    "E0409": "the lengths do not fit",
    "E0410": "`until` lies before the start of its segment",
    "E0411": "a length must be finite",
    # Structure.
    "E0501": "a modifier stands where a schedule is due",
    "E0502": "a number stands in a sequence",
    "E0503": "an endless segment is followed by another",
    "E0504": "a modifier stands on the left of `|`",
    "E0505": "what stands on the right of `|` is not a modifier",
    "E0506": "the function works inside expr(...)",
    "E0507": "`**` works on numbers, not on schedules",
    "E0508": "a schedule can only be multiplied or divided by a plain number",
    "E0510": "a comparison only has a meaning inside expr(...)",
    "E0511": "a product of schedules needs a base other than 0",
    # Ranges of values.
    "E0601": "a value is outside its range",
    "E0602": "milestones must be increasing",
    "E0603": "a list has the wrong number of entries",
    "E0604": "a milestone is never reached",
    "E0605": "a rate must be greater than 0",
    "E0606": "a metric-driven modifier stands inside a repetition",
    "E0607": "a rate is negative",
    "E0608": "a segment starts at 0 and stays there",
    "E0609": "the schedule becomes negative",
    "E0610": "the schedule is not finite",
    "E0611": "a beta must stay below 1",
    # Notes: nothing is wrong, but a reader may want to know.
    "N0701": "the length differs from the total",
    "N0702": "the rate jumps at a boundary",
    "N0703": "a decay ends above its start",
    "N0704": "the first update has rate 0",
    "N0705": "the peak is more than ten times the base",
    "N0706": "a plateau can never fire in its scope",
    "N0707": "a clamp is never or always active",
    "N0708": "a segment or milestone lies at or after the total",
    "N0709": "the shape is flat",
    "N0710": "a segment has no steps",
    "N0711": "a milestone is repeated",
    "N0712": "a duration was rounded",
    # Use.
    "E0801": "a step must be a whole number, not negative",
    "E0802": "the saved schedule is a different one",
    "E0803": "unknown target or group",
    # Limits.
    "E0901": "nested too deep",
    "E0902": "the text is too large once every `let` is put in",
    "E0903": "a name or literal is too long",
    "E0904": "the text is too long",
    "E0905": "too many statements",
    "E0906": "a list is too long",
    "E0907": "the schedule is too large once compiled",
}

_WIDEST = 100
"""Characters of a line that a message shows."""
_BEFORE = 40
"""Of them, at most so many before the span."""


class ScheduleError(ValueError):
    """What is wrong with a schedule, and where.

    Args:
        code: A stable key of `CODES`.
        message: What is wrong, lower case, names in backticks.
        span: The characters of ``text`` it is about.
        hint: A short label or fix, shown beside the carets.
        text: The whole schedule text.
        source: The config key or file the text came from.

    Attributes:
        others: What else is wrong with the same text, in its order; this is the first.
    """

    def __init__(
        self,
        code: str,
        message: str,
        span: Span | None = None,
        hint: str | None = None,
        text: str | None = None,
        source: str | None = None,
    ) -> None:
        super().__init__(code, message, span, hint, text, source)  # all of them, so that pickling works
        self.code = code
        self.message = message
        self.span = span
        self.hint = hint
        self.text = text
        self.source = source
        self.others: tuple[ScheduleError, ...] = ()

    def within(self, text: str, source: str | None = None) -> ScheduleError:
        """The same error with the text (and where it came from) attached."""
        error = ScheduleError(self.code, self.message, self.span, self.hint, text, source or self.source)
        error.others = tuple(other.within(text, source) for other in self.others)
        return error

    def __str__(self) -> str:
        return render(self.code, self.message, self.span, self.hint, self.text, self.source)


def raise_all(errors: Iterable[ScheduleError]) -> None:
    """Raise the first of some errors, with the rest in its `others`; if there is one."""
    found = list(errors)
    if found:
        found[0].others = tuple(found[1:])
        raise found[0]


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth knowing about a schedule that is not wrong."""

    code: str
    message: str
    span: Span | None = None
    hint: str | None = None

    def render(self, text: str | None = None, source: str | None = None) -> str:
        """The note with its line of ``text`` and carets, like an error."""
        return render(self.code, self.message, self.span, self.hint, text, source)

    def __str__(self) -> str:
        return self.render()


def render(
    code: str, message: str, span: Span | None, hint: str | None, text: str | None, source: str | None = None
) -> str:
    """Code and message, then the line of ``text`` that ``span`` starts on, with carets and ``hint``."""
    head, hint, source = _printable(f"{code}: {message}"), _printable(hint or ""), _printable(source or "")
    if text is None or span is None:
        return head + (f" ({hint})" if hint else "") + (f" [{source}]" if source else "")
    start, end = span
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", line_start)
    line_end = len(text) if line_end < 0 else line_end
    number = str(text.count("\n", 0, line_start) + 1)
    gutter = " " * len(number)
    line = _printable(text[line_start:line_end].removesuffix("\r"))
    line, start, end = _excerpt(line, start - line_start, min(end, line_end) - line_start)
    # Tabs stay tabs under the line, whatever width the terminal gives them.
    indent = "".join(c if c == "\t" else " " * _columns(c) for c in line[:start]) + " " * (start - len(line))
    carets = "^" * max(1, sum(map(_columns, line[start:end])))
    label = carets + (f" {hint}" if hint else "")
    place = [f"{gutter} --> {source}"] if source else []
    return "\n".join([head, *place, f"{gutter} |", f"{number} | {line}".rstrip(), f"{gutter} | {indent}{label}"])


def _excerpt(line: str, start: int, end: int) -> tuple[str, int, int]:
    """A long line is shown around its span only; where it is cut stands ``...``."""
    if len(line) <= _WIDEST:
        return line, start, end
    first = max(0, min(start - _BEFORE, len(line) - _WIDEST))
    last = first + _WIDEST
    head, tail = "..." if first else "", "..." if last < len(line) else ""
    shift = len(head) - first
    return head + line[first:last] + tail, start + shift, min(end, last) + shift


def _printable(line: str) -> str:
    """``line`` with every control character and half a surrogate replaced: a message must not move the cursor."""
    return line if line.isprintable() else "".join(c if c == "\t" or c.isprintable() else "\ufffd" for c in line)


def _columns(char: str) -> int:
    """Terminal columns ``char`` takes."""
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
