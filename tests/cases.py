"""One table of expressions with the values they must have.

Nothing here is computed by lrdsl: the numbers come from the specification, from closed forms written as plain Python,
from hand-worked arithmetic, or (`PEERS`) from torch's schedulers, run when a test asks for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import lrdsl

RUN = {"base_lr": 1e-3, "total_steps": 10_000, "steps_per_epoch": 100, "tokens_per_step": 1e6, "samples_per_step": 256}
"""The context of the specification's checked values."""


@dataclass(frozen=True)
class Case:
    """An expression and what it must give at some steps."""

    name: str
    text: str
    expected: Mapping[int, float]
    context: Mapping[str, Any] = field(default_factory=lambda: RUN)
    relative: float = 1e-13

    def compile(self) -> lrdsl.Schedule:
        return lrdsl.compile(self.text, **self.context)


@dataclass(frozen=True)
class Peer:
    """An expression and the torch scheduler it replaces."""

    name: str
    text: str
    base: float
    make: Callable[[Any, Any], Any]
    """From ``torch.optim.lr_scheduler`` and an optimizer to the scheduler."""
    steps: int


def checked(name: str, text: str, steps: Iterable[int], values: Iterable[float], **context: Any) -> Case:
    """Values printed to 12 digits."""
    return Case(name, text, dict(zip(steps, values, strict=True)), {**RUN, **context}, relative=1e-11)


def formula(name: str, text: str, steps: Iterable[int], value: Callable[[int], float], **context: Any) -> Case:
    """Values of a closed form."""
    return Case(name, text, {t: value(t) for t in steps}, {**RUN, **context})


def exact(name: str, text: str, expected: Mapping[int, float], **context: Any) -> Case:
    """Values worked out by hand in numbers that doubles hold: equal, not close."""
    return Case(name, text, expected, {**RUN, "base_lr": 1.0, **context}, relative=0.0)


SPECIFIED = [
    checked(
        "first-example",
        "warmup(500) >> cosine(10000, min=1e-6) | plateau(patience=3)",
        [0, 1, 250, 500, 5500, 10499, 10500, 12000],
        [0, 2e-6, 5e-4, 1e-3, 5.005e-4, 1.00002464934e-6, 1e-6, 1e-6],
    ),
    checked(
        "rest",
        "warmup(2%) >> hold(rest) >> linear(10%)",
        [0, 100, 200, 9000, 9999, 10000],
        [0, 5e-4, 1e-3, 1e-3, 1e-6, 0],
    ),
    checked("repeat", "repeat(3, cosine(1000))", [0, 999, 1000, 1500, 3000], [1e-3, 2.46739907092e-9, 1e-3, 5e-4, 0]),
    checked(
        "repeat-mult-gain",
        "repeat(3, cosine(100), mult=2, gain=0.5)",
        [0, 50, 100, 200, 300, 500, 700],
        [1e-3, 5e-4, 5e-4, 2.5e-4, 2.5e-4, 1.25e-4, 0],
    ),
    checked("one_minus_sqrt", "one_minus_sqrt(100, to=0.1x)", [0, 1, 25, 100], [1e-3, 9.1e-4, 5.5e-4, 1e-4]),
    checked("geometric", "geometric(100, to=0.01x)", [0, 50, 100], [1e-3, 1e-4, 1e-5]),
    checked(
        "polynomial",
        "polynomial(100, power=0.9)",
        [0, 50, 99, 100],
        [0.01, 0.00535886731268, 1.58489319246e-4, 0],
        base_lr=0.01,
    ),
    checked(
        "exponential",
        "exponential(0.9, every=10)",
        [0, 5, 10, 100],
        [1e-3, 9.48683298051e-4, 9e-4, 3.486784401e-4],
    ),
    checked("step", "step(30ep)", [2999, 3000, 6000], [1e-3, 1e-4, 1e-5]),
    checked("multistep-values", "multistep([10, 20], values=[1x, 2e-4, 0.1x])", [9, 10, 20], [1e-3, 2e-4, 1e-4]),
    checked("inverse_time", "inverse_time(0.5, every=4)", [0, 4, 8], [1e-3, 6.66666666667e-4, 5e-4]),
    checked("inverse_sqrt", "warmup(100) >> inverse_sqrt(100)", [50, 100, 400], [5e-4, 1e-3, 5e-4]),
    checked(
        "noam",
        "noam(512, warmup=4000)",
        [0, 1, 4000, 16000],
        [0, 1.74692810742e-7, 6.98771242969e-4, 3.49385621484e-4],
        base_lr=1.0,
    ),
    checked("onecycle", "onecycle(100)", [0, 29, 50, 99, 100], [4e-5, 1e-3, 7.93893450576e-4, 4e-9, 4e-9]),
    checked(
        "cyclic",
        "cyclic(10, from=0.1x, to=1x, gain=0.5)",
        [0, 5, 10, 20, 30],
        [1e-4, 5.5e-4, 1e-3, 1e-4, 5.5e-4],
    ),
    checked(
        "tanh",
        "tanh(100)",
        [0, 50, 99, 100],
        [9.99999168472e-4, 9.82013790038e-4, 3.01841632471e-6, 2.47262315663e-6],
    ),
    checked("points", "points([0, 10, 30], [0, 1x, 0.1x])", [0, 5, 10, 20, 30], [0, 5e-4, 1e-3, 5.5e-4, 1e-4]),
    checked("range_test", "range_test(100, from=1e-5, rate=2)", [0, 50, 100], [1e-5, 2e-5, 3e-5]),
    checked("range_test-stairs", "range_test(100, from=1e-5, rate=2, staircase=true)", [99, 100], [1e-5, 3e-5]),
    checked(
        "wsd",
        "wsd(1000, warmup=100, decay=200, to=1e-5)",
        [50, 100, 799, 900, 1000],
        [5e-4, 1e-3, 1e-3, 5.05e-4, 1e-5],
    ),
    checked(
        "product",
        "warmup(100) * exponential(0.5, every=100)",
        [0, 50, 100, 200],
        [0, 3.53553390593e-4, 5e-4, 2.5e-4],
    ),
    checked(
        "until",
        "warmup(500) >> cosine(until=50%, to=0.1x) >> hold()",
        [500, 2750, 5000, 9000],
        [1e-3, 5.5e-4, 1e-4, 1e-4],
    ),
    checked(
        "cooldown",
        "warmup(100) >> hold(100) >> inverse_sqrt(100) | cooldown(1000)",
        [150, 200, 600, 9000, 9500, 10000],
        [1e-3, 1e-3, 4.472135955e-4, 1.05999788001e-4, 5.15710623129e-5, 0],
    ),
    checked(
        "take",
        "(exponential(0.9) | take(10)) >> linear(10)",
        [9, 10, 15, 20],
        [3.87420489e-4, 3.486784401e-4, 1.7433922005e-4, 0],
    ),
    checked("skip", "cosine(100) | skip(25)", [0, 25, 75], [8.53553390593e-4, 5e-4, 0]),
    checked("sample", "cosine(100) | sample(10)", [9, 10, 95, 100], [1e-3, 9.75528258148e-4, 2.44717418524e-5, 0]),
    checked("warmup-log", "warmup(10, shape=log)", [0, 1, 9, 10], [0, 3.01029995664e-4, 1e-3, 1e-3]),
    checked(
        "warmup-sqrt",
        "warmup(10, shape=one_minus_sqrt)",
        [0, 5, 9, 10],
        [0, 2.92893218813e-4, 6.83772233983e-4, 1e-3],
    ),
]
"""What the specification prints."""

CLOSED = [
    formula("warmup", "warmup(500)", range(0, 500, 7), lambda t: 1e-3 * t / 500),
    formula("warmup-from", "warmup(500, from=0.1x)", range(0, 500, 7), lambda t: 1e-4 + 9e-4 * t / 500),
    formula(
        "warmup-cosine",
        "warmup(40, shape=cosine)",
        range(41),
        lambda t: 1e-3 * math.sin(math.pi * t / 80) ** 2,
    ),
    formula("hold", "hold()", [0, 1, 10**12], lambda t: 1e-3),
    formula("constant", "constant(2e-4)", [0, 1, 10**12], lambda t: 2e-4),
    formula("linear-up", "linear(100, from=1e-4, to=1e-2)", range(101), lambda t: 1e-4 + (t / 100) * 9.9e-3),
    formula("linear-down", "linear(100, from=1e-2, to=1e-4)", range(101), lambda t: 1e-2 - (t / 100) * 9.9e-3),
    formula(
        "cosine",
        "cosine(1000, to=1e-5)",
        range(0, 1000, 13),
        lambda t: 1e-5 + 0.5 * (1e-3 - 1e-5) * (1 + math.cos(math.pi * t / 1000)),
    ),
    formula(
        "cosine-up",
        "cosine(1000, from=0.04, to=0.4)",
        range(0, 1001, 13),
        lambda t: 0.04 + 0.36 * (1 - math.cos(math.pi * t / 1000)) / 2,
    ),
    formula(
        "cosine-epochs", "cosine(100ep)", range(0, 9000, 377), lambda t: 1e-3 * (1 + math.cos(math.pi * t / 10000)) / 2
    ),
    formula("polynomial-square", "polynomial(40, power=2)", range(41), lambda t: 1e-3 * ((40 - t) / 40) ** 2),
    formula(
        "polynomial-up",
        "polynomial(40, power=2, from=1e-5, to=1e-3)",
        range(41),
        lambda t: 1e-5 + 9.9e-4 * (1 - ((40 - t) / 40) ** 2),
    ),
    formula("geometric-up", "geometric(100, from=1e-7, to=10)", range(101), lambda t: 10 ** (-7 + 8 * t / 100)),
    formula("exponential-each-step", "exponential(0.95)", range(0, 300, 11), lambda t: 1e-3 * 0.95**t),
    formula("exponential-grows", "exponential(1 / 0.95)", range(0, 100, 11), lambda t: 1e-3 * 0.95**-t),
    formula("step-epochs", "step(1ep, gamma=0.9)", range(0, 1000, 50), lambda t: 1e-3 * 0.9 ** (t // 100)),
    formula("step-thousands", "step(1000, n=10000)", range(0, 10_000, 500), lambda t: 1e-3 / 10 ** (t // 1000)),
    formula(
        "multistep-twice",
        "multistep([5, 12, 12, 20], gamma=0.5)",
        range(25),
        lambda t: 1e-3 * 0.5 ** sum(t >= milestone for milestone in (5, 12, 12, 20)),
    ),
    formula("inverse_sqrt-25", "inverse_sqrt(25)", range(0, 1000, 50), lambda t: 1e-3 / math.sqrt(1 + t / 25)),
    formula(
        "t5",
        "warmup(1000) >> inverse_sqrt(1000)",
        range(0, 9000, 500),
        lambda t: 1e-3 * min(t / 1000, math.sqrt(1000 / max(t, 1))),
    ),
    formula("inverse_time-10", "inverse_time(0.1)", range(0, 500, 50), lambda t: 1e-3 / (1 + 0.1 * t)),
    formula("expr-natural", "expr(base * exp(-0.1 * t))", range(0, 100, 7), lambda t: 1e-3 * math.exp(-0.1 * t)),
    formula(
        "expr-cosine-power",
        "expr(base * cospi(u / 2) ** 4, n=30)",
        range(30),
        lambda t: 1e-3 * math.cos(math.pi * t / 60) ** 4,
    ),
    formula(
        "noam-transformer",
        "noam(512, warmup=400)",
        range(1, 9000, 111),
        lambda t: 1e-3 * 512**-0.5 * min(t**-0.5, t * 400**-1.5),
    ),
    formula(
        "noam-tokens",
        "hold(10) >> noam(100, warmup=2.5Mtok)",
        range(11, 40),
        lambda t: 1e-4 * min((t - 10) ** -0.5, (t - 10) * 2.5**-1.5),
    ),
    formula(
        "onecycle-up",
        "onecycle(200, peak=10x, up=0.4, start=0.5x, end=1e-7)",
        range(200),
        lambda t: (
            5e-4 + 9.5e-3 * (1 - math.cos(math.pi * t / 79)) / 2
            if t < 79
            else 1e-7 + (1e-2 - 1e-7) * (1 + math.cos(math.pi * (t - 79) / 120)) / 2
        ),
    ),
    formula(
        "onecycle-real-bounds",
        "onecycle(10, up=0.37, start=0, end=0, shape=linear)",
        range(12),
        lambda t: 1e-3 * (t / 2.7 if t < 2.7 else max(0.0, 9 - t) / 6.3),
    ),
    formula(
        "cyclic-falls",
        "cyclic(3, to=0.1x, down=5, gamma=0.9)",
        range(0, 50),
        lambda t: 1e-3 - 9e-4 * (t % 8 / 3 if t % 8 <= 3 else (8 - t % 8) / 5) * 0.9**t,
    ),
    formula(
        "cyclic-flattened",
        "cyclic(2, from=0.1x, to=1x, gain=0)",
        range(12),
        lambda t: 1e-4 + (9e-4 * (0, 1, 2, 1)[t] / 2 if t < 4 else 0),
    ),
    formula(
        "tanh-to",
        "tanh(40, to=0.1x, lb=-4, ub=4)",
        range(45),
        lambda t: 1e-4 + 9e-4 * 0.5 * (1 - math.tanh(-4 * (1 - min(t, 40) / 40) + 4 * min(t, 40) / 40)),
    ),
    formula(
        "tanh-up",
        "tanh(40, from=1e-6, to=1e-3)",
        range(41),
        lambda t: 1e-6 + 9.99e-4 / (1 + math.exp(-2 * (t / 4 - 7))),
    ),
    formula(
        "points-cosine",
        "points([5, 15, 55], [0.1x, 1x, 1e-5], shape=cosine)",
        range(60),
        lambda t: (
            1e-4 + 9e-4 * math.sin(math.pi * max(t - 5, 0) / 20) ** 2
            if t < 15
            else 1e-5 + (1e-3 - 1e-5) * math.cos(math.pi * min(t - 15, 40) / 80) ** 2
        ),
    ),
    formula(
        "points-geometric",
        "points([0, 20, 50], [1e-6, 1e-2, 1e-5], shape=geometric)",
        range(55),
        lambda t: 10 ** (-6 + 4 * t / 20) if t < 20 else 10 ** (-2 - 3 * min(t - 20, 30) / 30),
    ),
    formula("range_test-epochs", "range_test(0.025ep, rate=0.3)", range(50), lambda t: 1e-3 * (1 + 0.3 * t / 2.5)),
    formula(
        "range_test-stairs-after",
        "hold(10) >> range_test(7, staircase=true)",
        range(10, 60),
        lambda t: 1e-3 * (1 + (t - 10) // 7),
    ),
    formula(
        "wsd-cosine",
        "wsd(rest, 2%, 20%, shape=cosine, to=0.1x)",
        range(0, 10_000, 500),
        lambda t: 1e-3 * min(t / 200, 1) if t < 8000 else 1e-4 + 9e-4 * math.cos(math.pi * (t - 8000) / 4000) ** 2,
    ),
    formula(
        "wsd-one_minus_sqrt",
        "wsd(until=50%, warmup=1ep, decay=1k, shape=one_minus_sqrt)",
        range(0, 5000, 250),
        lambda t: 1e-3 * min(t / 100, 1 - math.sqrt(max(t - 4000, 0) / 1000)),
    ),
    formula(
        "expr-polynomial-cycle",
        "expr(0.01 + 0.09 * (1 - t / (10 * max(1, ceil(t / 10)))))",
        range(45),
        lambda t: 0.01 + 0.09 * (1 - t / (10 * max(1, math.ceil(t / 10)))),
    ),
    formula("expr-t5", "expr(1 / sqrt(max(t, 10000)))", [0, 10_000, 40_000], lambda t: 1 / math.sqrt(max(t, 10_000))),
    formula(
        "expr-let",
        "let w = 5%; warmup(w) >> expr(prev * 0.5 ** (t / 1000), n=total - w)",
        range(500, 9500, 700),
        lambda t: 1e-3 * 0.5 ** ((t - 500) / 1000),
    ),
    formula(
        "expr-clock",
        "hold(10) >> expr(base * (step - t) / (1 + t))",
        range(10, 30),
        lambda t: 1e-3 * 10 / (1 + t - 10),
    ),
    formula(
        "expr-decay-to-floor",
        "warmup(10) >> hold(25) >> expr(1e-4 + (prev - 1e-4) * (2 * 0.5 ** u - 1), n=15)",
        range(35, 51),
        lambda t: 1e-4 + 9e-4 * (2 * 0.5 ** ((t - 35) / 15) - 1),
    ),
    formula(
        "cycle-gain",
        "cycle(exponential(0.9, n=30), gain=0.5)",
        range(0, 200, 7),
        lambda t: 1e-3 * 0.5 ** (t // 30) * 0.9 ** (t % 30),
    ),
    formula(
        "cycle-triangle",
        "cycle(linear(100, from=0.1x, to=1x) >> linear(100, to=0.1x))",
        range(0, 1000, 17),
        lambda t: 1e-4 + 9e-4 * (1 - abs(t % 200 - 100) / 100),
    ),
    formula(
        "cycle-floor",
        "0.9 * cycle(cosine(6), mult=2, gain=0.5) + 0.1x",
        range(6, 18),
        lambda t: 1e-4 + 9e-4 * 0.5 * (1 + math.cos(math.pi * (t - 6) / 12)) / 2,
    ),
    formula(
        "sum",
        "cosine(100) + linear(50)",
        range(0, 50, 3),
        lambda t: 1e-3 * (math.cos(math.pi * t / 200) ** 2 + 1 - t / 50),
    ),
    formula("scaled-and-divided", "0.5 * linear(1000) / 4", range(0, 1000, 99), lambda t: 1e-3 * (1 - t / 1000) / 8),
    formula(
        "maximum",
        "max(linear(100), 2e-4, 0.3x)",
        range(0, 150, 7),
        lambda t: max(1e-3 * (100 - min(t, 100)) / 100, 3e-4),
    ),
    formula(
        "minimum",
        "min(warmup(500), cosine(10k))",
        range(0, 10_000, 333),
        lambda t: min(1e-3 * min(t / 500, 1), 1e-3 * math.cos(math.pi * t / 20_000) ** 2),
    ),
    formula(
        "deepseek-v2-lite",
        "warmup(2000) * multistep([80%, 90%], gamma=0.316)",
        range(0, 10_000, 500),
        lambda t: 1e-3 * min(t / 2000, 1) * 0.316 ** ((t >= 8000) + (t >= 9000)),
    ),
    formula(
        "t5x",
        "warmup(1000) * expr(base / sqrt(max(t, 1000)))",
        range(0, 9000, 500),
        lambda t: 1e-3 * min(t / 1000, 1) / math.sqrt(max(t, 1000)),
    ),
    formula(
        "clamped",
        "exponential(0.5, every=10) | clamp(min=0.01x, max=0.5x)",
        range(0, 100, 7),
        lambda t: min(max(1e-3 * 0.5 ** (t / 10), 1e-5), 5e-4),
    ),
    formula(
        "gpt-3",
        "warmup(375Mtok) >> cosine(until=6Btok, to=0.1x) >> hold(until=8Btok)",
        range(375, 6000, 500),
        lambda t: 1e-4 + 9e-4 * (1 + math.cos(math.pi * (t - 375) / 5625)) / 2,
    ),
    formula("samples", "warmup(2560smp) >> hold(rest)", [0, 1, 5, 10, 11], lambda t: 1e-3 * min(t, 10) / 10),
    formula(
        "weight-decay-beside-it",
        "lr = linear(100); weight_decay = linear(total, from=0.1, to=0.2)",
        range(0, 100, 9),
        lambda t: 1e-3 * (100 - t) / 100,
    ),
]
"""Closed forms."""

EXACT = [
    exact("half", "linear(4)", {0: 1.0, 1: 0.75, 2: 0.5, 3: 0.25, 4: 0.0, 5: 0.0, 10**15: 0.0}),
    exact("zero-length", "warmup(0) >> linear(4)", {0: 1.0, 2: 0.5, 4: 0.0}),
    exact("zero-length-passes-its-end", "linear(0, to=0.5x) >> linear(2)", {0: 0.5, 1: 0.25, 2: 0.0}),
    exact("zero-length-last", "linear(2, to=0.5x) >> cosine(0, to=0.25x)", {0: 1.0, 1: 0.75, 2: 0.25, 9: 0.25}),
    exact("zero-length-geometric", "geometric(0, to=0.5x) >> hold()", {0: 0.5, 9: 0.5}),
    exact("zero-length-exponential", "exponential(0.5, n=0) >> hold()", {0: 1.0}),
    exact("zero-length-expr", "expr(base * (1 + t), n=0) >> hold()", {0: 1.0}),
    exact("one-step", "linear(1)", {0: 1.0, 1: 0.0}),
    exact("one-step-log", "warmup(1, shape=log)", {0: 0.0, 1: 1.0}),
    exact("milestone-0", "multistep([0, 2], gamma=0.5)", {0: 0.5, 1: 0.5, 2: 0.25}),
    exact("milestone-0-values", "multistep([0], values=[1x, 0.25x])", {0: 0.25, 7: 0.25}),
    exact("boundary-belongs-right", "hold(2) >> constant(0.25, 2) >> constant(0.5)", {1: 1, 2: 0.25, 3: 0.25, 4: 0.5}),
    exact("open-ended-cut", "exponential(0.5, n=3) >> hold()", {0: 1.0, 2: 0.25, 3: 0.125, 99: 0.125}),
    exact("inner-sequence", "hold(2) >> (linear(2, to=0.5x) >> linear(2))", {2: 1, 3: 0.75, 4: 0.5, 5: 0.25, 6: 0}),
    exact(
        "thirds",
        "hold(33%) >> constant(2, 33%) >> constant(3, 34%)",
        {329: 1, 330: 2, 660: 2, 661: 3},
        total_steps=1001,
    ),
    exact("half-rounds-up", "hold(50%) >> constant(2)", {1: 1, 2: 2}, total_steps=3),
    exact("fractions-add-up", "hold(0.5ep) >> hold(0.5ep) >> constant(2)", {2: 1, 3: 2}, steps_per_epoch=3),
    exact("minus", "2 - linear(4)", {0: 1.0, 4: 2.0}),
    exact("negated", "-linear(4) + 1x", {0: 0.0, 1: 0.25, 4: 1.0}),
    exact("shorter-holds", "linear(2, to=0.5x) + linear(4)", {2: 1.0, 3: 0.75, 4: 0.5, 5: 0.5}),
    exact("product-of-absolutes", "constant(0.5) * linear(4)", {0: 0.5, 2: 0.25}, base_lr=2.0),
    exact("clamped-schedules", "clamp(linear(4), 0.25, linear(8))", {0: 1.0, 3: 0.25, 4: 0.25, 8: 0.0}),
    exact("base-and-prev", "hold(1) >> constant(prev / 2 + base, 1) >> constant(prev / 2)", {1: 1.5, 2: 0.75}),
    exact("times", "repeat(2, linear(2)) >> constant(0.5x)", {0: 1, 1: 0.5, 2: 1, 3: 0.5, 4: 0.5}),
    exact("rounds-inside-rounds", "repeat(2, repeat(2, linear(2)) >> hold(1))", {1: 0.5, 3: 0.5, 4: 0, 5: 1, 9: 0}),
    exact("round-from-prev", "hold(1) >> constant(0.5x, 1) >> cycle(linear(2))", {2: 0.5, 3: 0.25, 4: 0.5, 5: 0.25}),
    exact("many-rounds", "repeat(1_000_000, linear(8))", {7_999_996: 0.5, 7_999_999: 0.125, 8_000_000: 0.0}),
    exact(
        "stretched-rounds", "cycle(linear(2), mult=2)", {0: 1, 1: 0.5, 2: 1, 3: 0.75, 5: 0.25, 6: 1, 13: 0.125, 14: 1}
    ),
    exact("comparison", "expr(where(t < 2, base / 2, base * (t >= 3)))", {0: 0.5, 1: 0.5, 2: 0.0, 3: 1.0}),
    exact("remainder", "expr(mod(t, 3) / 4)", {0: 0, 1: 0.25, 2: 0.5, 3: 0, 3_000_001: 0.25}),
    exact("precedence", "expr(abs(-2 ** 2) / 8 + 2 ** -1)", {0: 1.0}),
    exact("scaled-sequence", "hold(1) >> linear(4) | scale(0.5)", {0: 0.5, 1: 0.5, 3: 0.25, 5: 0.0}),
    exact("noam-begins-at-0", "hold(3) >> noam(4, warmup=4)", {2: 1.0, 3: 0.0, 4: 0.0625, 7: 0.25, 19: 0.125}),
    exact("noam-without-steps", "noam(4, warmup=4, n=0) >> hold()", {0: 0.0, 9: 0.0}),
    exact("noam-ends", "noam(4, warmup=1, n=16) >> hold()", {1: 0.5, 4: 0.25, 16: 0.125, 99: 0.125}),
    exact(
        "onecycle-linear",
        "onecycle(10, up=0.5, start=0, end=0.5x, shape=linear)",
        {0: 0.0, 1: 0.25, 2: 0.5, 4: 1.0, 9: 0.5, 10: 0.5},
    ),
    exact("onecycle-falls-first", "onecycle(10, peak=0, up=0.5, start=1x, end=0, shape=linear)", {0: 1, 2: 0.5, 4: 0}),
    exact("onecycle-rounds", "repeat(2, onecycle(4, up=0.5, start=0, end=0), gain=0.5)", {1: 1, 3: 0, 5: 0.5, 8: 0}),
    exact(
        "onecycle-stretched",
        "cycle(onecycle(4, up=0.5, start=0, end=0, shape=linear), mult=2)",
        {1: 1.0, 2: 0.5, 3: 0.0, 4: 0.0, 5: 0.5, 6: 1.0, 7: 0.75, 9: 0.25, 10: 0.0, 11: 0.0, 14: 0.5, 16: 1.0},
    ),
    exact("cyclic-asymmetric", "cyclic(4, from=0, to=1x, down=2)", {0: 0, 1: 0.25, 4: 1, 5: 0.5, 6: 0, 8: 0.5}),
    exact("cyclic-one-step", "cyclic(1, from=0.5x, to=1x, gain=2, n=9)", {0: 0.5, 1: 1, 2: 0.5, 3: 1.5, 5: 2.5}),
    exact("cyclic-gamma", "cyclic(1, from=0, to=1x, gamma=0.5)", {1: 0.5, 2: 0.0, 3: 0.125, 5: 0.03125}),
    exact("cyclic-far", "cyclic(2**40, from=0, to=1x)", {2**39: 0.5, 2**40: 1.0, 2**51 + 2**39: 0.5}),
    exact(
        "cyclic-rounds", "repeat(2, cyclic(2, from=0, to=1x, n=4), mult=2, gain=0.5)", {1: 0.5, 2: 1, 6: 0.25, 8: 0.5}
    ),
    exact("tanh-half", "tanh(8, lb=-3, ub=3)", {4: 0.5}),
    exact("tanh-one-step", "tanh(1, lb=-1, ub=0) >> hold()", {1: 0.5, 9: 0.5}),
    exact("tanh-without-steps", "tanh(0, lb=-1, ub=0) >> hold()", {0: 0.5}),
    exact("tanh-far", "tanh(2**52, lb=-2, ub=2)", {2**51: 0.5}),
    exact(
        "points-first-is-held", "points([2, 4, 8], [0.5x, 1x, 0])", {0: 0.5, 2: 0.5, 3: 0.75, 4: 1, 6: 0.5, 8: 0, 99: 0}
    ),
    exact("points-of-prev", "hold(1) >> constant(0.5, 1) >> points([0, 2], [prev, base])", {2: 0.5, 3: 0.75, 4: 1}),
    exact("points-at-0", "points([0, 2, 4], [0, 0, 1x])", {0: 0, 1: 0, 2: 0, 3: 0.5, 4: 1}),
    exact("points-fractions", "hold(0.5ep) >> points([0.5ep, 1ep], [1x, 0])", {4: 1, 5: 0.5, 6: 0}, steps_per_epoch=4),
    exact("points-rounds", "repeat(2, points([1, 3], [0, 1x]), gain=0.5)", {1: 0, 2: 0.5, 3: 0, 5: 0.25, 6: 0.5}),
    exact("range_test-zero", "range_test(4, rate=0)", {0: 1.0, 9: 1.0}),
    exact("range_test-ends", "range_test(4, n=2) >> hold()", {1: 1.25, 2: 1.5, 9: 1.5}),
    exact("range_test-round", "cycle(range_test(2, staircase=true, n=4), gain=0.5)", {1: 1, 2: 2, 3: 2, 4: 0.5, 6: 1}),
    exact("wsd-no-warmup", "wsd(6, 0, 4)", {0: 1.0, 2: 1.0, 4: 0.5, 6: 0.0}),
    exact("wsd-no-stay", "wsd(6, 2, 4, min=0.5x)", {1: 0.5, 2: 1.0, 4: 0.75, 6: 0.5}),
    exact("wsd-nothing", "wsd(0, 0, 0, to=0.25x) >> hold()", {0: 0.25}),
    exact(
        "wsd-round",
        "repeat(2, wsd(4, 2, 2), mult=2, gain=0.5)",
        {1: 0.5, 2: 1, 3: 0.5, 4: 0, 6: 0.25, 8: 0.5, 10: 0.25},
    ),
    exact("wsd-thirds", "wsd(total, 33%, 33%)", {0: 0.0, 330: 1.0, 671: 1.0, 1001: 0.0}, total_steps=1001),
    exact(
        "wsd-rest", "hold(2) >> wsd(rest, 2, 2) >> hold(3)", {2: 0, 3: 0.5, 4: 1, 5: 1, 6: 0.5, 7: 0}, total_steps=10
    ),
    exact("far", "linear(2**52)", {0: 1.0, 2**51: 0.5, 2**52: 0.0}),
    # Before the first report a metric-driven modifier changes nothing, whatever its bounds.
    exact("guard-silent", "linear(4) | guard(min=0.5x)", {0: 1.0, 1: 0.75, 3: 0.25, 4: 0.0}),
    exact("normscale-silent", "linear(4) | normscale(2)", {0: 1.0, 1: 0.75, 3: 0.25, 4: 0.0}),
    exact("greedy-silent", "linear(4) | greedy(min=0.5x, max=0.6x)", {0: 1.0, 1: 0.75, 3: 0.25, 4: 0.0}),
    exact("group", "lr = hold(); lr[head] = 0.5 * hold()", {0: 1.0}),
]
"""Small numbers that every double can hold."""

CASES = [*SPECIFIED, *CLOSED, *EXACT]

PEERS = [
    Peer("ConstantLR", "constant(0.25x, 6) >> constant(1x)", 0.1, lambda s, o: s.ConstantLR(o, 0.25, 6), 10),
    Peer("LinearLR", "linear(5, from=base / 3, to=1x)", 0.1, lambda s, o: s.LinearLR(o), 10),
    Peer("LinearLR-tenth", "linear(10, from=0.1x, to=1x)", 0.1, lambda s, o: s.LinearLR(o, 0.1, 1.0, 10), 15),
    Peer("StepLR", "step(30)", 0.1, lambda s, o: s.StepLR(o, 30), 100),
    Peer("StepLR-half", "step(7, gamma=0.5)", 0.1, lambda s, o: s.StepLR(o, 7, 0.5), 50),
    Peer("MultiStepLR", "multistep([30, 80])", 0.1, lambda s, o: s.MultiStepLR(o, [30, 80]), 100),
    Peer("MultiStepLR-twice", "multistep([5, 12, 12, 20])", 0.1, lambda s, o: s.MultiStepLR(o, [5, 12, 12, 20]), 25),
    Peer("ExponentialLR", "exponential(0.95)", 0.1, lambda s, o: s.ExponentialLR(o, 0.95), 200),
    Peer("PolynomialLR", "polynomial(25, power=3)", 0.1, lambda s, o: s.PolynomialLR(o, 25, 3.0), 30),
    Peer("PolynomialLR-0.9", "polynomial(100, power=0.9)", 0.01, lambda s, o: s.PolynomialLR(o, 100, 0.9), 105),
    Peer("CosineAnnealingLR", "cosine(50, min=1e-4)", 0.1, lambda s, o: s.CosineAnnealingLR(o, 50, 1e-4), 51),
    Peer(
        "CosineAnnealingLR-climbs",
        "cycle(cosine(10, to=0.01) >> cosine(10, to=1x))",
        0.1,
        lambda s, o: s.CosineAnnealingLR(o, 10, 0.01),
        45,
    ),
    Peer("WarmRestarts", "cycle(cosine(5))", 0.1, lambda s, o: s.CosineAnnealingWarmRestarts(o, 5), 30),
    Peer("WarmRestarts-2", "cycle(cosine(5), mult=2)", 0.1, lambda s, o: s.CosineAnnealingWarmRestarts(o, 5, 2), 80),
    Peer(
        "WarmRestarts-3",
        "cycle(cosine(4, to=0.001), mult=3)",
        0.1,
        lambda s, o: s.CosineAnnealingWarmRestarts(o, 4, 3, 0.001),
        170,
    ),
    Peer("LambdaLR", "expr(base * 0.95 ** t)", 0.1, lambda s, o: s.LambdaLR(o, lambda t: 0.95**t), 100),
    Peer("LambdaLR-warmup", "warmup(20)", 0.1, lambda s, o: s.LambdaLR(o, lambda t: min(t / 20, 1.0)), 30),
    Peer("MultiplicativeLR", "step(1, gamma=0.9)", 0.1, lambda s, o: s.MultiplicativeLR(o, lambda t: 0.9), 60),
    Peer(
        "SequentialLR",
        "linear(5, from=0.1x, to=1x) >> cosine(20)",
        0.1,
        lambda s, o: s.SequentialLR(o, [s.LinearLR(o, 0.1, 1.0, 5), s.CosineAnnealingLR(o, 20)], [5]),
        26,
    ),
    Peer(
        "SequentialLR-restarts",
        "constant(0.1x, 20) >> exponential(0.9, from=1x)",
        0.05,
        lambda s, o: s.SequentialLR(o, [s.ConstantLR(o, 0.1, 20), s.ExponentialLR(o, 0.9)], [20]),
        40,
    ),
    Peer(
        "ChainedScheduler",
        "(constant(0.1x, 5) >> constant(1x)) * exponential(0.9)",
        0.05,
        lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 5), s.ExponentialLR(o, 0.9)]),
        20,
    ),
    Peer(
        "OneCycleLR",
        "onecycle(100)",
        0.1,
        lambda s, o: s.OneCycleLR(o, 0.1, 100, cycle_momentum=False),
        100,
    ),
    Peer(
        "OneCycleLR-linear",
        "onecycle(73, up=0.42, start=0.01, end=1e-6, shape=linear)",
        0.1,
        lambda s, o: s.OneCycleLR(
            o, 0.1, 73, pct_start=0.42, anneal_strategy="linear", div_factor=10, cycle_momentum=False
        ),
        73,
    ),
    Peer(
        "OneCycleLR-cos",
        "onecycle(251, peak=2x, up=0.17, start=0.5, end=0.05)",
        0.1,
        lambda s, o: s.OneCycleLR(
            o, 0.2, 251, pct_start=0.17, div_factor=0.4, final_div_factor=10, cycle_momentum=False
        ),
        251,
    ),
    Peer(
        "OneCycleLR-three-phases",
        "linear(29, from=base / 25, to=1x) >> linear(29, to=base / 25) >> linear(41, to=base / 25e4)",
        0.1,
        lambda s, o: s.OneCycleLR(o, 0.1, 100, three_phase=True, anneal_strategy="linear", cycle_momentum=False),
        100,
    ),
    Peer(
        "CyclicLR",
        "cyclic(20, from=0.01, to=0.1)",
        0.1,
        lambda s, o: s.CyclicLR(o, 0.01, 0.1, 20, cycle_momentum=False),
        130,
    ),
    Peer(
        "CyclicLR-down",
        "cyclic(8, from=1e-4, to=0.1, down=24)",
        0.1,
        lambda s, o: s.CyclicLR(o, 1e-4, 0.1, 8, 24, cycle_momentum=False),
        130,
    ),
    Peer(
        "CyclicLR-triangular2",
        "cyclic(16, from=0.001, to=0.1, down=48, gain=0.5)",
        0.1,
        lambda s, o: s.CyclicLR(o, 0.001, 0.1, 16, 48, mode="triangular2", cycle_momentum=False),
        400,
    ),
    Peer(
        "CyclicLR-exp_range",
        "cyclic(30, from=0.001, to=0.1, down=10, gamma=0.99)",
        0.1,
        lambda s, o: s.CyclicLR(o, 0.001, 0.1, 30, 10, mode="exp_range", gamma=0.99, cycle_momentum=False),
        300,
    ),
    Peer(
        "CyclicLR-downwards",
        "cyclic(10, from=0.1, to=0.001, gamma=0.999)",
        0.1,
        lambda s, o: s.CyclicLR(o, 0.1, 0.001, 10, mode="exp_range", gamma=0.999, cycle_momentum=False),
        200,
    ),
]
"""torch's schedulers. Past T_max torch's cosine climbs where ours holds, so `cosine` is compared up to there."""
