"""Texts from bytes: every byte is one choice, so whatever the bytes are, most of the text is in the language.

What primitives there are, and what their arguments want, is read from their signatures. When the bytes are used up
every choice is the first, and nothing nests any more.
"""

from __future__ import annotations

from collections.abc import Sequence

from lrdsl.language.formula import FOLDS, FUNCTIONS, NAMES
from lrdsl.primitives import MODIFIERS, SEGMENTS
from lrdsl.primitives.signature import Kind, Parameter, Primitive
from tests.fuzz.mutators import WORDS

DURATIONS = (
    "10",
    "100",
    "7",
    "1000",
    "3",
    "50",
    "200",
    "12",
    "30",
    "500",
    "1",
    "40",
    "60",
    "9",
    "1k",
    "20",
    "10%",
    "33%",
)
DURATIONS += (
    "3ep",
    "0.4ep",
    "2Btok",
    "640smp",
    "2 * 3ep",
    "rest",
    "total",
    "total - 9000",
    "0",
    "inf",
    "9007199254740991",
)
RATES = ("0.1x", "1x", "base", "prev", "1e-3", "base / 3 + 1e-6", "prev * 0.5", "2e-4", "10x", "0.5x", "0", "-1e-6")
NUMBERS = ("0.5", "0.9", "0.1", "0.7", "1 / 3", "2 ** -1", "1 - 1e-9", "1", "2", "3", "4", "0", "-1", "1e300", "100")
TARGETS = ("lr", "weight_decay", "momentum", "lr[head]", "lr[0]", 'lr["a.b"]', "beta1", "eps")
CONSTANTS = ("0.5", "0", "1", "2", "0.1x", "7", "1e-3", "100", "1e300", "-1")
LETS = ("w", "f", "s")
DEEPEST = 5


class Generator:
    """One text, made from `data` choice by choice."""

    def __init__(self, data: bytes) -> None:
        self.data = iter(data)
        self.depth = 0
        self.lets: list[str] = []

    def next(self) -> int:
        """The next byte; after the last one nothing nests any more."""
        byte = next(self.data, None)
        if byte is None:
            self.depth = DEEPEST
        return byte or 0

    def below(self, count: int) -> int:
        return self.next() % count

    def one(self, words: Sequence[str]) -> str:
        return words[self.below(len(words))]

    def rarely(self) -> bool:
        return self.next() >= 252

    def text(self) -> str:
        lets = [self._let(name) for name in LETS[: max(0, self.below(8) - 4)]]
        if self.below(4) == 3:
            first = self.below(len(TARGETS))
            targets = (TARGETS * 2)[first : first + 1 + self.below(3)]
            body = [f"{target} = {self.schedule()}" for target in targets]
        else:
            body = [self.schedule()]
        return "; ".join(lets + body)

    def _let(self, name: str) -> str:
        made = {"w": self.duration, "f": self.rate, "s": self.schedule}[name]()
        self.lets.append(name)
        return f"let {name} = {made}"

    def known(self, name: str, words: Sequence[str]) -> Sequence[str]:
        return (*words, *(name,) * 6) if name in self.lets else words

    def schedule(self) -> str:
        if self.depth >= DEEPEST:
            return "hold(5)"
        self.depth += 1
        made = self._schedule()
        self.depth -= 1
        return self.one(WORDS) if self.rarely() else made

    def _schedule(self) -> str:
        match self.below(16):
            case 7 | 8 | 9:
                return " >> ".join(self.schedule() for _ in range(2 + self.below(3)))
            case 10 | 11:
                modifier = tuple(MODIFIERS.values())[self.below(len(MODIFIERS))]
                return f"({self.schedule()} | {self.call(modifier)})"
            case 12:
                other = self.schedule if self.below(2) else self.rate
                return f"{self.one(('max', 'min'))}({self.schedule()}, {other()})"
            case 13:
                other = (self.schedule, self.rate, self.number)[self.below(3)]
                return f"({self.schedule()}) {self.one(('+', '*', '-', '/'))} ({other()})"
            case 14:
                return f"clamp({self.schedule()}, {self.rate()}, {self.rate()})"
            case 15:
                return self.one(self.known("s", ("0.5 * cosine(9)", "-hold(3)")))
        return self.call(tuple(SEGMENTS.values())[-1 - self.below(len(SEGMENTS))])

    def call(self, primitive: Primitive) -> str:
        given = []
        named = False
        for parameter in primitive.parameters:
            if not parameter.required and self.below(3) != 1:
                named = True
                continue
            value = self.argument(parameter)
            named = named or not self.below(3)
            given.append(f"{parameter.name}={value}" if named else value)
        if self.rarely():
            given.append(f"until={self.duration()}")
        return f"{primitive.name}({', '.join(given)})"

    def argument(self, parameter: Parameter) -> str:
        if self.rarely():
            return self.one(("none", "[]", "true", *DURATIONS, *RATES, *NUMBERS))
        return self.of_kind(parameter.kind)

    def of_kind(self, kind: Kind) -> str:
        match kind.name:
            case "steps" | "duration" | "offset" | "period" | "real":
                return self.duration()
            case "rate":
                return self.rate()
            case "rates":
                return f"[{', '.join(self.rate() for _ in range(2 + self.below(3)))}]"
            case "positions":
                steps = sorted(self.below(200) for _ in range(1 + self.below(4)))
                return f"[{', '.join(map(str, steps))}]"
            case "whole" | "times":
                return str(1 + self.below(5)) if self.below(8) else self.number()
            case "choice":
                return self.one(kind.words)
            case "metric":
                return self.one(("loss", "grad_norm", '"a b"'))
            case "schedule":
                return self.schedule()
            case "formula":
                return self.formula(4)
            case "flag":
                return self.one(("true", "false"))
        return self.number()

    def duration(self) -> str:
        words = self.known("w", DURATIONS)
        return f"{self.one(words)} + {self.below(50)}" if self.rarely() else self.one(words)

    def rate(self) -> str:
        words = self.known("f", RATES)
        return f"{self.one(words)} {self.one(('+', '-', '*'))} {self.one(words)}" if self.rarely() else self.one(words)

    def number(self) -> str:
        return self.one(NUMBERS)

    def formula(self, depth: int) -> str:
        if not depth:
            return self.one((*NAMES, *CONSTANTS))
        match self.below(6):
            case 0 | 1:
                return self.one((*NAMES, *CONSTANTS))
            case 2 | 3:
                operator = self.one(("+", "*", "-", "/", "**", "<", "==", "!=", ">="))
                return f"({self.formula(depth - 1)} {operator} {self.formula(depth - 1)})"
            case 4:
                return f"base * {self.formula(depth - 1)}"
        name = self.one((*FUNCTIONS, *FOLDS))
        arity = FUNCTIONS[name][0] if name in FUNCTIONS else 2
        return f"{name}({', '.join(self.formula(depth - 1) for _ in range(arity))})"


def text_from(data: bytes) -> str:
    """The text that `data` chooses."""
    return Generator(data).text()
