"""Random segments and formulas (sections 4 and 6): every function, arguments by position and by name."""

from __future__ import annotations

from .words import Words

Given = tuple[str, str | None]  # the name of an argument and its text, None to leave it out


class Curves(Words):
    def body(self) -> str:
        """What `repeat` repeats: a schedule, so it is for those who know schedules."""
        raise NotImplementedError

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
        decay = self.pick("to", "min", "to", "to") if start[1] is None else "to"
        aimed = (decay, to[1] if self.maybe(0.85) else None)
        last: Given = n if ends or self.maybe(0.4) else ("n", self.optional("inf", 0.1))
        open_kinds = [self.exponential, self.staircase, self.milestones, self.inverse_sqrt, self.inverse_time]
        open_kinds += [
            self.noam,
            self.cyclic,
            self.range_test,
            self.expr,
            self.hold,
            self.constant,
            self.cycle,
            self.cycle,
        ]
        closed = [self.ramp, self.decay, self.decay, self.polynomial, self.tanh, self.geometric, self.onecycle]
        closed += [self.points, self.wsd, self.repeat]
        kind = self.rng.choice(open_kinds + closed if not ends or self.maybe(0.5) else closed)
        if kind in closed:
            return kind(n, aimed, start)
        return kind(last, to, start)

    def first(self, name: str, n: Given, *others: Given) -> str:
        """A call whose first argument is its length, or `until` instead."""
        if n[0] == "n":
            return self.call(name, n, *others)
        named = [f"{key}={value}" for key, value in others if value is not None]
        self.rng.shuffle(named)
        return f"{name}({', '.join([*named, f'until={n[1]}'])})"

    def final(self, name: str, n: Given, *others: Given) -> str:
        if n[0] == "n":
            return self.call(name, *others, n)
        text = self.call(name, *others)
        return f"{text[:-1]}{', ' if others and text[-2] != '(' else ''}until={n[1]})"

    def ramp(self, n: Given, to: Given, start: Given) -> str:
        shape = self.optional(self.pick("linear", "cosine", "log", "one_minus_sqrt"))
        return self.first("warmup", n, start, ("to", self.optional(self.rate())), ("shape", shape))

    def decay(self, n: Given, to: Given, start: Given) -> str:
        return self.first(self.pick("linear", "cosine", "one_minus_sqrt"), n, to, start)

    def polynomial(self, n: Given, to: Given, start: Given) -> str:
        return self.first("polynomial", n, ("power", self.optional(self.number(0.2, 4))), to, start)

    def tanh(self, n: Given, to: Given, start: Given) -> str:
        lb, ub = f"{self.rng.uniform(-8, -1):.1f}", f"{self.rng.uniform(0, 5):.1f}"
        return self.first("tanh", n, to, start, ("lb", self.optional(lb)), ("ub", self.optional(ub)))

    def geometric(self, n: Given, to: Given, start: Given) -> str:
        return self.first("geometric", n, ("to", self.rate()), start)

    def onecycle(self, n: Given, to: Given, start: Given) -> str:
        n = n if n[1] in ("rest", "inf") or n[0] == "until" else ("n", self.duration(12))
        up, shape = f"{self.rng.uniform(0.15, 0.8):.2f}", self.pick("linear", "cosine")
        rates = [
            (name, self.optional(self.rate(), chance)) for name, chance in (("peak", 0.5), ("start", 0.2), ("end", 0.2))
        ]
        return self.first(
            "onecycle", n, rates[0], ("up", self.optional(up)), *rates[1:], ("shape", self.optional(shape))
        )

    def points(self, n: Given, to: Given, start: Given) -> str:
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

    def wsd(self, n: Given, to: Given, start: Given) -> str:
        n = n if n[1] == "rest" or n[0] == "until" else ("n", self.duration(60))
        shape = self.optional(self.pick("linear", "cosine", "one_minus_sqrt"))
        up, down = self.duration(0, 30), self.duration(0, 25)
        to = (to[0], None if "prev" in (to[1] or "") or to[1] in self.lets["rate"] else to[1])  # see the findings
        return self.first("wsd", n, ("warmup", up), ("decay", down), to, ("shape", shape))

    def repeat(self, n: Given, to: Given, start: Given) -> str:
        extra = ("mult", self.optional(self.pick("1", "2", "3"))), ("gain", self.optional(self.number(0.3, 1.4)))
        return self.call("repeat", ("times", str(self.rng.randint(1, 4))), ("body", self.body()), *extra)

    def cycle(self, n: Given, to: Given, start: Given) -> str:
        if n[1] not in (None, "inf"):  # a length is due
            return self.call("hold", n) if n[0] == "n" else f"hold(until={n[1]})"
        extra = ("mult", self.optional(self.pick("1", "2", "3"))), ("gain", self.optional(self.number(0.3, 1.0)))
        return self.call("cycle", ("body", self.body()), *extra)

    def exponential(self, n: Given, to: Given, start: Given) -> str:
        every = self.optional(self.pick("10", "2.5ep", "1%", "0.5 * 7ep", "33"))
        return self.final("exponential", n, ("gamma", self.number(0.6, 1.02)), ("every", every), start)

    def staircase(self, n: Given, to: Given, start: Given) -> str:
        return self.final("step", n, ("every", self.duration(1, 60)), ("gamma", self.optional(self.number())), start)

    def milestones(self, n: Given, to: Given, start: Given) -> str:
        at = sorted(self.rng.randint(0, 60) for _ in range(self.rng.randint(1, 4)))
        if n[1] not in (None, "inf", "rest") and n[0] == "n":
            n = ("n", str(at[-1] + self.rng.randint(1, 30)))
        values = None
        if self.maybe(0.4):
            values = f"[{', '.join(self.rate() for _ in range(len(at) + 1))}]"
        gamma = self.optional(self.number(0.1, 1.2)) if values is None else None
        where = f"[{', '.join(map(str, at))}]"
        return self.final("multistep", n, ("at", where), ("gamma", gamma), ("values", values), start)

    def inverse_sqrt(self, n: Given, to: Given, start: Given) -> str:
        return self.final("inverse_sqrt", n, ("timescale", self.duration(1, 400)), start)

    def inverse_time(self, n: Given, to: Given, start: Given) -> str:
        every = self.optional(self.duration(1, 40))
        return self.final("inverse_time", n, ("rate", self.number(0, 1)), ("every", every), start)

    def noam(self, n: Given, to: Given, start: Given) -> str:
        return self.final("noam", n, ("d_model", str(self.rng.randint(1, 600))), ("warmup", self.duration(1, 90)))

    def cyclic(self, n: Given, to: Given, start: Given) -> str:
        down, gain = self.optional(self.duration(1, 40), 0.4), self.optional(self.number(0.3, 1.1), 0.4)
        gamma = self.optional(f"{self.rng.uniform(0.97, 1):.4f}", 0.4)
        options = ("down", down), ("gain", gain), ("gamma", gamma)
        return self.final("cyclic", n, ("up", self.duration(1, 40)), ("to", self.rate()), start, *options)

    def range_test(self, n: Given, to: Given, start: Given) -> str:
        rate, flag = self.optional(self.number(0, 3)), self.optional(self.pick("true", "false"), 0.4)
        return self.final("range_test", n, ("every", self.duration(1, 90)), ("rate", rate), start, ("staircase", flag))

    def hold(self, n: Given, to: Given, start: Given) -> str:
        return self.final("hold", n)

    def constant(self, n: Given, to: Given, start: Given) -> str:
        return self.final("constant", n, ("value", self.rate()))

    def expr(self, n: Given, to: Given, start: Given) -> str:
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
