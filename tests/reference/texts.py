"""Random texts of the whole language, from a seed: most are valid, and some break a rule on purpose or by chance."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

# How tightly a text holds together; one looser than its place needs is put in parentheses (section 2).
PIPE, SEQUENCE, SUM, TERM, ATOM = range(5)


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
    for _ in range(rng.choice([0, 3, 10, 40])):
        value = rng.choice([math.nan, math.inf, -math.inf]) if rng.random() < 0.08 else rng.randint(-9, 200) / 64
        found.append((rng.choice(["loss", "loss", "loss", "val_loss", "grad_norm"]), value, step))
        step += rng.choice([0, 1, 1, 2, 9, 40])
    return found


class Texts:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.keys: list[tuple[str, str | int | None]] = []
        self.context: dict[str, Any] = {
            "base_lr": rng.choice([1e-3, 1e-3, 1.0, 0.1, 3e-4, 0.37]),
            "total_steps": rng.choice([400, 1000, 1001, 9973]),
            "steps_per_epoch": rng.choice([7, 10, 12.5, 33]),
            "tokens_per_step": rng.choice([1e6, 4096, 3000]),
            "samples_per_step": rng.choice([256, 96]),
            "params": {"warm": rng.choice([0, 5, 20]), "half": 0.5},
            "bases": {"weight_decay": 0.1, "momentum": 0.9, "beta1": 0.9, "lr[head]": 2e-2},
        }
        self.lets: dict[str, list[str]] = {"number": ["half"], "duration": ["warm"], "rate": [], "schedule": []}
        self.nested = False  # inside `repeat`
        self.rest = False  # `rest` has a meaning here

    def pick(self, *choices: str) -> str:
        return self.rng.choice(choices)

    def maybe(self, chance: float) -> bool:
        return self.rng.random() < chance

    # Numbers, durations, rates (section 3).

    def number(self, low: float = 0.1, high: float = 2.0) -> str:
        x = self.rng.uniform(low, high)
        written = [f"{x:.3f}", f"{x:.2g}" if x >= 0.01 else f"{x:.3f}", f"{x:.4f} / 1", f"2 * {x / 2:.4f}", f"{x:.3e}"]
        if low <= 0.5 <= high:
            written += ["2 ** -1", "1 / 2", *self.lets["number"]]
        return self.rng.choice(written)

    def duration(self, low: int = 0, high: int = 150) -> str:
        n = self.rng.randint(low, high)
        if self.maybe(0.5):
            return str(n)
        share = 100 * n / self.context["total_steps"]
        epochs, units = n / self.context["steps_per_epoch"], self.context
        choices = [
            f"{math.ceil(share * 10) / 10:g}%",
            f"{max(share, 0.001):.3f}%",
            f"{math.ceil(epochs * 2) / 2:g}ep",
            f"{math.ceil(n * units['tokens_per_step']):d}tok",
            f"{n * units['tokens_per_step'] / 1000 + 1:.3f}ktok",
            f"{n * units['samples_per_step']}smp",
            f"{n / 1000:g}k",
            f"total - {units['total_steps'] - n}",
            f"total / {max(1, units['total_steps'] // max(n, 1))}",
            f"{n} + 1%",
            f"1ep + {n}",
            f"3ep / 2 + {n}",
            "3ep * (total / total)",
            *self.lets["duration"],
        ]
        return self.rng.choice(choices)

    def rate(self) -> str:
        x = self.rng.uniform(0.05, 2)
        return self.rng.choice(
            [
                f"{x:.2f}x",
                f"{x:.2f}x",
                f"{x * 1e-3:.3g}",
                f"{x:.2g}x / 3",
                "base",
                "base / 7",
                f"{x:.2f} * base",
                "0.1 * base + 1e-6",
                "prev",
                f"prev * {x:.2f}",
                "prev / 2 + 0.1x",
                "-(-1e-4)",
                "1x",
                *self.lets["rate"],
            ]
        )

    def target(self) -> str:
        """The end of a decay: 0 makes what follows start at 0."""
        return self.pick("0", "1e-6") if self.maybe(0.15) else self.rate()

    def call(self, name: str, *arguments: tuple[str, str | None]) -> str:
        """Arguments in the order of the signature, None if left out; by position as long as none is, and we feel so."""
        positional, written = self.maybe(0.7), []
        for key, value in arguments:
            if value is None:
                positional = False
            elif positional and self.maybe(0.75):
                written.append(value)
            else:
                positional = False
                written.append(f"{key}={value}")
        return f"{name}({', '.join(written)})"

    def optional(self, value: str, chance: float = 0.5) -> str | None:
        return value if self.maybe(chance) else None

    # Segments (section 4).

    def length(self) -> tuple[str, str]:
        if self.rest and self.maybe(0.2):
            self.rest = False
            return "n", "rest"
        if not self.nested and self.maybe(0.06):
            return "until", self.duration(100, 300)
        return "n", self.duration(0 if self.maybe(0.1) else 1)

    def segment(self, ends: bool) -> str:
        n, start, to = self.length(), ("from", self.optional(self.rate(), 0.4)), ("to", self.target())
        if n[0] == "until":
            to, start = ("to", to[1]), ("from", start[1])
        decay = self.pick("to", "min", "to", "to") if start[1] is None else "to"
        aimed = (decay, to[1] if self.maybe(0.85) else None)
        last: tuple[str, str | None] = n if ends or self.maybe(0.4) else ("n", self.optional("inf", 0.1))
        open_kinds = [self.exponential, self.staircase, self.milestones, self.inverse_sqrt, self.inverse_time]
        open_kinds += [self.noam, self.cyclic, self.range_test, self.expr, self.hold, self.constant, self.cycle]
        closed = [self.ramp, self.decay, self.decay, self.polynomial, self.tanh, self.geometric, self.onecycle]
        closed += [self.points, self.wsd, self.repeat]
        kind = self.rng.choice(open_kinds + closed if not ends or self.maybe(0.5) else closed)
        if kind in closed:
            return kind(n, aimed, start)
        return kind(last, to, start)

    def first(self, name: str, n: tuple[str, str], *others: tuple[str, str | None]) -> str:
        """A call whose first argument is its length, or `until` instead."""
        if n[0] == "n":
            return self.call(name, n, *others)
        named = [f"{key}={value}" for key, value in others if value is not None]
        self.rng.shuffle(named)
        return f"{name}({', '.join([*named, f'until={n[1]}'])})"

    def final(self, name: str, n: tuple[str, str | None], *others: tuple[str, str | None]) -> str:
        if n[0] == "n":
            return self.call(name, *others, n)
        text = self.call(name, *others)
        return f"{text[:-1]}{', ' if others and text[-2] != '(' else ''}until={n[1]})"

    def ramp(self, n, to, start) -> str:
        shape = self.optional(self.pick("linear", "cosine", "log", "one_minus_sqrt"))
        return self.first("warmup", n, start, ("to", self.optional(self.rate())), ("shape", shape))

    def decay(self, n, to, start) -> str:
        return self.first(self.pick("linear", "cosine", "one_minus_sqrt"), n, to, start)

    def polynomial(self, n, to, start) -> str:
        return self.first("polynomial", n, ("power", self.optional(self.number(0.2, 4))), to, start)

    def tanh(self, n, to, start) -> str:
        lb, ub = f"{self.rng.uniform(-8, -1):.1f}", f"{self.rng.uniform(0, 5):.1f}"
        return self.first("tanh", n, to, start, ("lb", self.optional(lb)), ("ub", self.optional(ub)))

    def geometric(self, n, to, start) -> str:
        return self.first("geometric", n, ("to", self.rate()), start)

    def onecycle(self, n, to, start) -> str:
        n = n if n[1] in ("rest", "inf") or n[0] == "until" else ("n", self.duration(12))
        up, shape = f"{self.rng.uniform(0.15, 0.8):.2f}", self.pick("linear", "cosine")
        end = ("end", self.optional(self.rate(), 0.2))
        begin = ("start", self.optional(self.rate(), 0.2))
        return self.first(
            "onecycle", n, ("peak", self.optional(self.rate())), ("up", self.optional(up)), begin, end,
            ("shape", self.optional(shape)),
        )  # fmt: skip

    def points(self, n, to, start) -> str:
        count, at = self.rng.randint(2, 5), [0 if self.maybe(0.6) else self.rng.randint(1, 20)]
        while len(at) < count:
            at.append(at[-1] + self.rng.randint(1, 60))
        written = [str(each) if self.maybe(0.8) else f"{each} + 0ep" for each in at]
        shape = self.pick("linear", "cosine", "geometric")
        return self.call(
            "points",
            ("at", f"[{', '.join(written)}]"),
            ("values", f"[{', '.join(self.rate() for _ in at)}]"),
            ("shape", self.optional(shape)),
        )

    def wsd(self, n, to, start) -> str:
        n = n if n[1] == "rest" or n[0] == "until" else ("n", self.duration(60))
        shape = self.optional(self.pick("linear", "cosine", "one_minus_sqrt"))
        up, down = self.duration(0, 30), self.duration(0, 25)
        to = (to[0], None if "prev" in (to[1] or "") or to[1] in self.lets["rate"] else to[1])  # see the findings
        return self.first("wsd", n, ("warmup", up), ("decay", down), to, ("shape", shape))

    def repeat(self, n, to, start) -> str:
        extra = ("mult", self.optional(self.pick("1", "2", "3"))), ("gain", self.optional(self.number(0.3, 1.4)))
        return self.call("repeat", ("times", str(self.rng.randint(1, 4))), ("body", self.body()), *extra)

    def cycle(self, n, to, start) -> str:
        if n[1] not in (None, "inf"):  # a length is due
            return self.call("hold", n) if n[0] == "n" else f"hold(until={n[1]})"
        extra = ("mult", self.optional(self.pick("1", "2", "3"))), ("gain", self.optional(self.number(0.3, 1.0)))
        return self.call("cycle", ("body", self.body()), *extra)

    def body(self) -> str:
        before, rest, self.nested, self.rest = self.nested, self.rest, True, False
        text = self.pipeline(2 if not before else 1, ends=True)
        self.nested, self.rest = before, rest
        return self.at_least(text, SEQUENCE if self.maybe(0.5) else SUM)

    def exponential(self, n, to, start) -> str:
        every = self.optional(self.pick("10", "2.5ep", "1%", "0.5 * 7ep", "33"))
        return self.final("exponential", n, ("gamma", self.number(0.6, 1.02)), ("every", every), start)

    def staircase(self, n, to, start) -> str:
        return self.final("step", n, ("every", self.duration(1, 60)), ("gamma", self.optional(self.number())), start)

    def milestones(self, n, to, start) -> str:
        at = sorted(self.rng.randint(0, 60) for _ in range(self.rng.randint(1, 4)))
        if n[1] not in (None, "inf", "rest") and n[0] == "n":
            n = ("n", str(at[-1] + self.rng.randint(1, 30)))
        values = None
        if self.maybe(0.4):
            values = f"[{', '.join(self.rate() for _ in range(len(at) + 1))}]"
        gamma = self.optional(self.number(0.1, 1.2)) if values is None else None
        where = f"[{', '.join(map(str, at))}]"
        return self.final("multistep", n, ("at", where), ("gamma", gamma), ("values", values), start)

    def inverse_sqrt(self, n, to, start) -> str:
        return self.final("inverse_sqrt", n, ("timescale", self.duration(1, 400)), start)

    def inverse_time(self, n, to, start) -> str:
        every = self.optional(self.duration(1, 40))
        return self.final("inverse_time", n, ("rate", self.number(0, 1)), ("every", every), start)

    def noam(self, n, to, start) -> str:
        return self.final("noam", n, ("d_model", str(self.rng.randint(1, 600))), ("warmup", self.duration(1, 90)))

    def cyclic(self, n, to, start) -> str:
        down, gain = self.optional(self.duration(1, 40), 0.4), self.optional(self.number(0.3, 1.1), 0.4)
        gamma = self.optional(f"{self.rng.uniform(0.97, 1):.4f}", 0.4)
        options = ("down", down), ("gain", gain), ("gamma", gamma)
        return self.final("cyclic", n, ("up", self.duration(1, 40)), ("to", self.rate()), start, *options)

    def range_test(self, n, to, start) -> str:
        rate, flag = self.optional(self.number(0, 3)), self.optional(self.pick("true", "false"), 0.4)
        return self.final("range_test", n, ("every", self.duration(1, 90)), ("rate", rate), start, ("staircase", flag))

    def hold(self, n, to, start) -> str:
        return self.final("hold", n)

    def constant(self, n, to, start) -> str:
        return self.final("constant", n, ("value", self.rate()))

    def expr(self, n, to, start) -> str:
        body = self.formula(3, finite=n[1] not in (None, "inf"))
        fence = self.pick("max({}, 0)", "abs({})", "clamp({}, 1e-7, 3x)", "base * exp(-abs({}))", "max({}, prev / 2)")
        return self.final("expr", n, ("formula", fence.format(body)))

    def formula(self, depth: int, finite: bool) -> str:
        """Section 6, without the poles that make most formulas invalid."""
        if depth == 0 or self.maybe(0.15):
            atoms = ["t", "step", "base", "prev", "pi", "total", "0.1x", "2", "0.5", "half", "1e-3", "base", "prev"]
            atoms += ["u", "n", "u"] if finite else []
            return self.rng.choice(atoms + self.lets["number"] + self.lets["rate"] + self.lets["duration"])
        a, b, c = (self.formula(depth - 1, finite) for _ in range(3))
        return self.rng.choice(
            [
                f"({a} + {b})",
                f"({a} - {b})",
                f"{a} * {b}",
                f"{a} / (1 + abs({b}))",
                f"abs({a}) ** half",
                f"({a}) ** 2",
                f"pow(abs({a}) + 0.1, 0.3)",
                f"where({a} {self.pick('<', '<=', '>', '>=', '==', '!=')} {b}, {b}, {c})",
                f"mod({a}, 1 + abs({b}))",
                f"exp(-abs({a}))",
                f"exp2(-abs({a}))",
                f"floor({a} / 7)",
                f"ceil({a})",
                f"sqrt(abs({a}))",
                f"log(1 + abs({a}))",
                f"log2(2 + abs({a}))",
                f"tanh({a})",
                f"cos({a})",
                f"sin({a} / 3)",
                f"cospi({a} / 4)",
                f"sinpi({a} / 4)",
                f"min({a}, {b}, {c})",
                f"max({a}, {b})",
                f"clamp({a}, 0.2, 0.9)",
                f"-{self.formula(0, finite)}",
            ]
        )

    # Modifiers, pointwise operators, sequences (sections 5 and 7): a text and how tightly it holds.

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
            self.rest = here and not (rest == i)
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
            return f"max({self.at_least(a, SUM)} - {self.at_least(b, TERM)}, 0)", ATOM
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
        kinds = [self.clamp, self.scale, self.sampled, self.take, self.skip, self.cooldown]
        if not self.nested:
            kinds += [self.plateau, self.guard, self.normscale, self.greedy] * 2
        written = []
        for _ in range(self.rng.choice([1, 1, 2])):
            kind = self.rng.choice(kinds)
            written.append(kind())
        cut = any(each.startswith("take") for each in written)
        here = self.rest
        if cut:
            self.rest = False
        inner = self.at_least(self.schedule(depth - 1, ends and not cut), SEQUENCE)
        self.rest = here and not cut and self.rest
        return " | ".join([inner, *written]), PIPE

    def clamp(self) -> str:
        low, high = self.pick("1e-6", "0.05x", "prev / 9"), self.pick("1x", "2x", "3 * base")
        if self.maybe(0.3):
            return self.call("clamp", ("min", low), ("max", high))
        return self.call("clamp", *([("min", low)] if self.maybe(0.5) else [("min", None), ("max", high)]))

    def scale(self) -> str:
        return self.call("scale", ("k", self.number()))

    def sampled(self) -> str:
        return self.call("sample", ("every", self.duration(1, 40)))

    def take(self) -> str:
        return self.call("take", ("n", self.duration(0 if self.maybe(0.1) else 1, 200)))

    def skip(self) -> str:
        return self.call("skip", ("n", self.duration(0, 25)))

    def cooldown(self) -> str:
        shape = self.optional(self.pick("linear", "cosine", "one_minus_sqrt"))
        return self.call("cooldown", ("n", self.duration(0, 25)), ("to", self.optional(self.target())), ("shape", shape))

    def plateau(self) -> str:
        return self.call(
            "plateau", ("patience", self.optional(self.pick("0", "1", "2"), 0.9)),
            ("factor", self.optional(f"{self.rng.uniform(0.2, 0.9):.2f}")), ("metric", self.optional(self.metric())),
            ("mode", self.optional(self.pick("min", "max"))), ("threshold", self.optional(self.pick("0", "0.1", "1e-3"))),
            ("threshold_mode", self.optional(self.pick("rel", "abs"))), ("cooldown", self.optional(self.pick("0", "1", "3"))),
            ("min", self.optional(self.pick("1e-5", "0.1x", "prev / 5"))), ("every", self.optional(self.pick("1", "2", "3"), 0.3)),
        )  # fmt: skip

    def guard(self) -> str:
        return self.call(
            "guard", ("metric", self.optional(self.metric())), ("spike", self.optional(self.pick("1.5", "2", "none"))),
            ("window", self.optional(self.pick("1", "3", "10"))), ("factor", self.optional(f"{self.rng.uniform(0.1, 0.9):.2f}")),
            ("recover", self.optional(self.pick("100", "40", "inf", "1"))), ("min", self.optional(self.pick("1e-5", "0.1x", "prev / 5"))),
            ("nonfinite", self.optional(self.pick("true", "false"))),
        )  # fmt: skip

    def normscale(self) -> str:
        return self.call("normscale", ("target", self.number(0.2, 3)), ("metric", self.optional(self.metric())))

    def greedy(self) -> str:
        return self.call(
            "greedy", ("patience", self.optional(self.pick("0", "1", "2"), 0.9)),
            ("factor", self.optional(f"{self.rng.uniform(0.4, 0.97):.2f}")), ("metric", self.optional(self.metric())),
            ("mode", self.optional(self.pick("min", "max"))), ("threshold", self.optional(self.pick("0", "0.1", "1e-3"))),
            ("threshold_mode", self.optional(self.pick("rel", "abs"))), ("cooldown", self.optional(self.pick("0", "1", "3"))),
            ("warmup", self.optional(self.pick("0", "1", "2"))), ("min", self.optional(self.pick("1e-5", "0.1x", "prev / 5"))),
            ("max", self.optional(self.pick("4x", "1x", "0.5"))), ("smooth", self.optional(self.pick("1", "3", "4"))),
        )  # fmt: skip

    def metric(self) -> str:
        return self.pick("loss", "loss", "val_loss", '"loss"', "grad_norm")

    # Statements.

    def script(self) -> str:
        statements = []
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
        return "; ".join(statements)
