"""Random texts of the whole language, from a seed: most are valid, and some break a rule on purpose or by chance."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .curves import Curves

# How tightly a text holds together; one looser than its place needs is put in parentheses (section 2).
PIPE, SEQUENCE, SUM, TERM, ATOM = range(5)


SHAPES = ["linear", "cosine", "one_minus_sqrt"]
METRICS = ["loss", "loss", "loss", "val_loss", '"loss"', "grad_norm"]
FACTORS = ["0.1", "0.37", "0.5", "0.82", "0.95"]
FLOORS = ["1e-5", "0.1x", "prev / 5"]
IMPROVES = {
    "metric": METRICS,
    "mode": ["min", "max"],
    "threshold": ["0", "0.1", "1e-3"],
    "threshold_mode": ["rel", "abs"],
    "cooldown": ["0", "1", "3"],
}
OPTIONS: dict[str, dict[str, list[str]]] = {
    "cooldown": {"to": ["0", "1e-6", "0.3x", "prev / 2"], "shape": SHAPES},
    "plateau": {
        "patience": ["0", "0", "1", "2"],
        "factor": FACTORS,
        **IMPROVES,
        "min": FLOORS,
        "every": ["1", "2", "3"],
    },
    "guard": {
        "metric": METRICS,
        "spike": ["1.01", "1.1", "1.5", "2", "none"],
        "window": ["1", "2", "3", "10"],
        "factor": FACTORS,
        "recover": ["100", "40", "inf", "1", "2.5ep"],
        "min": FLOORS,
        "nonfinite": ["true", "false"],
    },
    "normscale": {"metric": METRICS},
    "greedy": {
        "patience": ["0", "0", "1", "2"],
        "factor": FACTORS,
        **IMPROVES,
        "warmup": ["0", "1", "2"],
        "min": [*FLOORS, "0.6x", "0.9x"],
        "max": ["4x", "1.5x", "1x", "0.5"],
        "smooth": ["1", "3", "4"],
    },
}


@dataclass
class Sample:
    """A text, what it is compiled with, and what is reported while it runs."""

    text: str
    context: dict[str, Any]
    reports: list[tuple[str, float, int]]
    keys: list[tuple[str, str | int | None]] = field(default_factory=lambda: [("lr", None)])


def sample(seed: int) -> Sample:
    rng = random.Random(seed)
    words = Texts(rng)
    text = words.script()
    return Sample(text, words.context, reports(rng), words.keys)


def reports(rng: random.Random) -> list[tuple[str, float, int]]:
    """Multiples of 1/64, so that sums and means are exact; some that are not finite; steps in order."""
    found, step = [], 0
    few, spread = rng.choice([3, 15, 60]), rng.choice([10, 200])
    low, high = rng.choice([(-9, 200), (60, 70), (60, 130), (-200, 10)])
    walks, value, slope = rng.random() < 0.5, rng.randint(low, high), 1
    for _ in range(few):
        if walks:  # better and better, then worse and worse
            slope = -slope if rng.random() < 0.15 else slope
            value += slope * rng.randint(0, 9)
        else:
            value = rng.randint(low, high)
        odd = rng.choice([math.nan, math.inf, -math.inf]) if rng.random() < 0.06 else value / 64
        found.append((rng.choice(["loss", "loss", "loss", "val_loss", "grad_norm"]), odd, step))
        step += rng.choice([0, 1, 1, 2, spread // 10])
    return found


class Texts(Curves):
    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.keys: list[tuple[str, str | int | None]] = []

    # Pointwise operators and sequences (sections 5 and 7): a text and how tightly it holds.

    def body(self) -> str:
        before, rest, self.nested, self.rest = self.nested, self.rest, True, False
        text = self.pipeline(2 if not before else 1, ends=True)
        self.nested, self.rest = before, rest
        return self.at_least(text, SEQUENCE if self.maybe(0.5) else SUM)

    def schedule(self, depth: int, ends: bool) -> tuple[str, int]:
        if depth == 0 or self.maybe(0.15):
            if self.lets["schedule"] and not self.nested and self.maybe(0.2):
                return self.rng.choice(self.lets["schedule"]), ATOM
            return self.segment(ends), ATOM
        kind = self.rng.choice([self.pipeline, self.sequence, self.sequence, self.operator, self.bound])
        return kind(depth, ends)

    def at_least(self, part: tuple[str, int], level: int) -> str:
        text, own = part
        return text if own >= level and not self.maybe(0.05) else f"({text})"

    def sequence(self, depth: int, ends: bool) -> tuple[str, int]:
        count, rest = self.rng.randint(2, 4), self.rest and self.rng.randint(0, 3)
        written = []
        for i in range(count):
            here = self.rest
            self.rest = here and rest == i
            written.append(self.at_least(self.schedule(depth - 1, ends or i < count - 1), SUM))
            self.rest = here and rest != i
        return " >> ".join(written), SEQUENCE

    def operator(self, depth: int, ends: bool) -> tuple[str, int]:
        if self.maybe(0.35):
            k, s = self.number(), self.schedule(depth - 1, ends)
            k = f"({k})" if " " in k else k
            a = self.at_least(s, ATOM)
            return self.pick(f"{k} * {a}", f"{a} * {k}", f"{a} / {k}"), TERM
        rest = self.rest
        a, self.rest = self.schedule(depth - 1, ends), rest
        b, self.rest = self.schedule(depth - 1, ends), False
        if self.maybe(0.4):
            return f"{self.at_least(a, TERM)} * {self.at_least(b, ATOM)}", TERM
        if self.maybe(0.3):
            value = self.rng.choice(["0.1x", "1e-4", "base / 9", "prev"])
            return f"{self.at_least(a, SUM)} + {value}", SUM
        if self.maybe(0.15):
            difference = f"{self.at_least(a, SUM)} - {self.at_least(b, TERM)}"
            return (f"max({difference}, 0)", ATOM) if self.maybe(0.8) else (difference, SUM)
        return f"{self.at_least(a, SUM)} + {self.at_least(b, TERM)}", SUM

    def bound(self, depth: int, ends: bool) -> tuple[str, int]:
        rest = self.rest
        a, self.rest = self.schedule(depth - 1, ends)[0], rest
        if self.maybe(0.25):
            self.rest = False
            return f"clamp({a}, {self.pick('1e-6', '0.1x', '0')}, {self.pick('2x', '1x', '0.5')})", ATOM
        others = [self.rate() if self.maybe(0.3) else self.schedule(depth - 1, ends)[0]]
        self.rest = False
        return f"{self.pick('max', 'min')}({', '.join([a, *others])})", ATOM

    def pipeline(self, depth: int, ends: bool) -> tuple[str, int]:
        kinds = ["clamp", "scale", "sample", "take", "skip", "cooldown"]
        if not self.nested:
            kinds += ["plateau", "guard", "normscale", "greedy"] * 2
        written = [self.modifier(self.rng.choice(kinds)) for _ in range(self.rng.choice([1, 1, 2]))]
        cut = any(each.startswith("take") for each in written)
        here = self.rest
        if cut:
            self.rest = False
        inner = self.at_least(self.schedule(depth - 1, ends and not cut), SEQUENCE)
        self.rest = here and not cut and self.rest
        return " | ".join([inner, *written]), PIPE

    def modifier(self, name: str) -> str:
        """Each option is given or left out; `clamp` needs one."""
        if name == "clamp":
            given = [("min", self.pick("1e-6", "0.05x", "prev / 9")), ("max", self.pick("1x", "2x", "3 * base"))]
            both, one = self.maybe(0.4), self.rng.randint(0, 1)
            return self.call(
                name, *[(key, value if both or i == one else None) for i, (key, value) in enumerate(given)]
            )
        options = {key: self.optional(self.rng.choice(values), 0.6) for key, values in OPTIONS.get(name, {}).items()}
        required = {
            "scale": ("k", self.number()),
            "sample": ("every", self.duration(1, 40)),
            "take": ("n", self.duration(0 if self.maybe(0.1) else 1, 200)),
            "skip": ("n", self.duration(0, 25)),
            "cooldown": ("n", self.duration(0, 25)),
            "normscale": ("target", self.number(0.2, 3)),
        }
        return self.call(name, *([required[name]] if name in required else []), *options.items())

    # Statements.

    def observed(self) -> str:
        """Long enough for a machine to see many reports, or cut in the middle of them."""
        long = self.rng.choice(["hold()", "hold(300)", "hold(120)", "exponential(0.99)", "cosine(400, to=0.3x)"])
        machines = ["plateau", "guard", "normscale", "greedy"]
        text = f"({long} | {self.modifier(self.rng.choice(machines))})"
        kinds = ["", "", " | skip(30)", " | take(70)", " | sample(7)", " | cooldown(15)", " + warmup(40, shape=cosine)"]
        text = f"({text}{self.rng.choice(kinds)})"
        if self.maybe(0.5):
            text = f"({text} | {self.modifier(self.rng.choice(machines))})"
        if self.maybe(0.5):
            text = f"({text} | take({self.rng.randint(5, 150)})) >> linear(50, to=0.2x)"
        if self.maybe(0.4):
            text = f"warmup({self.rng.randint(0, 30)}, from=0.1x) >> {text}"
        self.keys = [("lr", None)]
        return text

    def script(self) -> str:
        statements: list[str] = []
        if self.maybe(0.3):
            return self.observed()
        for kind in self.rng.sample(["number", "duration", "rate", "schedule"], self.rng.choice([0, 0, 1, 2, 3])):
            name = f"{kind[0]}_{len(statements)}"
            value = {
                "number": lambda: self.pick("0.5", "1 / 4", "half"),
                "duration": lambda: self.duration(1),
                "rate": self.rate,
                "schedule": lambda: self.schedule(1, ends=True)[0],
            }[kind]()
            statements.append(f"let {name} = {value}")
            self.lets[kind].append(name)
        targets: Sequence[tuple[str, Any]] = [("lr", None)]
        if self.maybe(0.2):
            targets = self.rng.sample([("lr", None), ("lr", "head"), ("weight_decay", None), ("momentum", 0)], 2)
        for target, group in targets:
            self.rest = self.maybe(0.5)
            text = self.schedule(self.rng.choice([1, 2, 3, 3, 4]), ends=self.maybe(0.5))[0]
            name = target if group is None else f"{target}[{group}]"
            statements.append(text if len(targets) == 1 and self.maybe(0.8) else f"{name} = {text}")
        self.keys = list(targets)
        text = "; ".join(statements)
        # Only what is used is looked at by everybody.
        unused = [each for each in statements if each[:4] == "let " and text.count(each[4 : each.index(" = ")]) == 1]
        return "; ".join(each for each in statements if each not in unused)
