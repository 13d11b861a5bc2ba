"""Every curve as its real-number formula, worked out by mpmath, at random arguments.

The formulas are those of the specification, written anew from its table. A `Draw` is one text with random arguments,
steps to look at, and the exact value there; the formula's inputs are the doubles that the schedule got. Lengths go up
to 1e9 steps, and steps crowd next to both ends, where cancellation would show.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from mpmath import mp, mpf

PRECISION = 200
"""Bits of the oracle: near an end 1 + cos(pi u) cancels 60 of them."""
LATE = 5_000_003
"""A step that the static check does not sample: beyond it a formula may be negative or not finite."""


@dataclass(frozen=True)
class Draw:
    """A text with random arguments, and the exact value of every step."""

    text: str
    base: float
    steps: list[int]
    exact: Callable[[int], Any]
    reports: tuple[float, ...] = field(default=())


Maker = Callable[[random.Random, int], Draw]


def length(rng: random.Random) -> int:
    return max(2, round(10 ** rng.uniform(0.3, 9)))


def instants(rng: random.Random, n: int, count: int, corners: Iterable[float] = ()) -> list[int]:
    """Steps in [0, n]: anywhere, next to either end, or next to a corner of the curve."""
    places = [0, n, *corners]

    def one() -> int:
        if rng.random() < 1 / 3:
            return rng.randint(0, n)
        near = 10 ** rng.uniform(0, math.log10(n + 1))
        return min(n, max(0, round(rng.choice(places) + rng.choice([-near, near]))))

    return [one() for _ in range(count)]


def rate(rng: random.Random) -> float:
    return 10 ** rng.uniform(-6, 1)


def ramp(text: str, weight: Callable[[Any, Any], Any]) -> Maker:
    """A segment from one rate to another: `weight` is the share of `from` left at (t, n)."""

    def make(rng: random.Random, count: int) -> Draw:
        n, base, start, end = length(rng), rate(rng), rate(rng), rng.choice([0.0, rate(rng), rate(rng)])
        a, b, steps = mpf(start), mpf(end), instants(rng, n, count)
        return Draw(text.format(n=n, start=start, end=end), base, steps, lambda t: b + (a - b) * weight(mpf(t), mpf(n)))

    return make


def linear(t: Any, n: Any) -> Any:
    return (n - t) / n


def cosine(t: Any, n: Any) -> Any:
    return (1 + mp.cospi(t / n)) / 2


def one_minus_sqrt(t: Any, n: Any) -> Any:
    return 1 - mp.sqrt(t / n)


FALLS: dict[str, Callable[[Any, Any], Any]] = {"linear": linear, "cosine": cosine, "one_minus_sqrt": one_minus_sqrt}


def warmup_log(t: Any, n: Any) -> Any:
    return 1 - (mp.log(t + 1) / mp.log(n) if t < n - 1 else 1)


def polynomial(rng: random.Random, count: int) -> Draw:
    n, base, power = length(rng), rate(rng), rng.choice([0.5, 0.9, 2.0, 3.0, rng.uniform(0.25, 4)])
    exponent = mpf(power)
    return Draw(
        f"polynomial({n}, power={power})",
        base,
        instants(rng, n, count),
        lambda t: base * ((n - mpf(t)) / n) ** exponent,
    )


def polynomial_between(rng: random.Random, count: int) -> Draw:
    power = rng.choice([0.5, 0.9, 2.0, 3.0, rng.uniform(0.25, 4)])
    exponent = mpf(power)
    return ramp(
        f"polynomial({{n}}, power={power}, from={{start}}, to={{end}})", lambda t, n: ((n - t) / n) ** exponent
    )(rng, count)


def geometric(rng: random.Random, count: int) -> Draw:
    n, base, end = length(rng), rate(rng), rate(rng)
    ratio = mp.log(mpf(end) / base)
    return Draw(f"geometric({n}, to={end})", base, instants(rng, n, count), lambda t: base * mp.exp(ratio * mpf(t) / n))


def tanh(rng: random.Random, count: int) -> Draw:
    lb, ub = rng.choice([(-7.0, 3.0), (rng.uniform(-20, 5), rng.uniform(5, 20)), (rng.uniform(-300, 0), 0.0)])
    return ramp(
        f"tanh({{n}}, from={{start}}, to={{end}}, lb={lb}, ub={ub})",
        lambda t, n: (1 - mp.tanh((mpf(lb) * (n - t) + mpf(ub) * t) / n)) / 2,
    )(rng, count)


def gamma_of(rng: random.Random, t: float) -> float:
    """A factor of which t of them leave e**-60 … 1."""
    return math.exp(rng.uniform(-60, 0) / max(1.0, t))


def exponential(rng: random.Random, count: int) -> Draw:
    n, every, base = length(rng), 10 ** rng.uniform(0, 6), rate(rng)
    gamma = gamma_of(rng, n / every)
    log = mp.log(gamma) / mpf(every)
    return Draw(f"exponential({gamma}, every={every})", base, instants(rng, n, count), lambda t: base * mp.exp(log * t))


def exponential_each_step(rng: random.Random, count: int) -> Draw:
    n, base = length(rng), rate(rng)
    gamma = gamma_of(rng, n)
    power = mpf(gamma)
    return Draw(f"exponential({gamma})", base, instants(rng, n, count), lambda t: base * power**t)


def step(rng: random.Random, count: int) -> Draw:
    n, every, base = length(rng), round(10 ** rng.uniform(0, 4)), rate(rng)
    gamma = gamma_of(rng, n / every)
    power = mpf(gamma)
    return Draw(
        f"step({every}, gamma={gamma})", base, instants(rng, n, count, [every]), lambda t: base * power ** (t // every)
    )


def multistep(rng: random.Random, count: int) -> Draw:
    n = length(rng)
    at = sorted(rng.randint(0, n) for _ in range(rng.randint(1, 6)))
    base, gamma = rate(rng), rng.uniform(0.1, 1)
    power = mpf(gamma)
    return Draw(
        f"multistep({at}, gamma={gamma})",
        base,
        instants(rng, n, count, at),
        lambda t: base * power ** sum(t >= milestone for milestone in at),
    )


def inverse_sqrt(rng: random.Random, count: int) -> Draw:
    n, timescale, base = length(rng), 10 ** rng.uniform(0, 6), rate(rng)
    scale = mpf(timescale)
    return Draw(
        f"inverse_sqrt({timescale})", base, instants(rng, n, count), lambda t: base * mp.sqrt(scale / (scale + t))
    )


def inverse_time(rng: random.Random, count: int) -> Draw:
    n, every, base, k = length(rng), 10 ** rng.uniform(0, 6), rate(rng), 10 ** rng.uniform(-3, 3)
    return Draw(
        f"inverse_time({k}, every={every})",
        base,
        instants(rng, n, count),
        lambda t: base / (1 + mpf(k) * t / mpf(every)),
    )


def noam(rng: random.Random, count: int) -> Draw:
    n, width, warm, base = length(rng), rng.choice([512, 10 ** rng.uniform(0, 5)]), 10 ** rng.uniform(0, 7), rate(rng)
    factor, slope = base / mp.sqrt(width), mpf(warm) ** mpf(-1.5)
    return Draw(
        f"noam({width}, warmup={warm})",
        base,
        instants(rng, n, count, [warm]),
        lambda t: factor * min(1 / mp.sqrt(t), t * slope) if t else mpf(0),
    )


def range_test(rng: random.Random, count: int) -> Draw:
    n, base, k = length(rng), rate(rng), 10 ** rng.uniform(-3, 3)
    stairs = rng.random() < 0.5
    every = round(10 ** rng.uniform(0, 6)) if stairs else 10 ** rng.uniform(0, 6)
    return Draw(
        f"range_test({every}, rate={k}, staircase={str(stairs).lower()})",
        base,
        instants(rng, n, count, [every]),
        lambda t: base * (1 + mpf(k) * (t // every if stairs else t / mpf(every))),
    )


def onecycle(shape: str, ease: Callable[[Any], Any]) -> Maker:
    def make(rng: random.Random, count: int) -> Draw:
        n, peak = max(10, length(rng)), rate(rng)
        up = rng.choice([0.3, 0.25, rng.uniform(1.01 / n, 1 - 1 / n)])
        start, end = rng.choice([(None, None), (rate(rng), rate(rng)), (0.0, 0.0)])
        given = "" if start is None else f", start={start}, end={end}"
        low = mpf(peak) / 25 if start is None else mpf(start)
        last = low / 10_000 if end is None else mpf(end)
        top = mpf(up) * n - 1

        def exact(t: int) -> Any:
            if t <= top:
                return low + (peak - low) * ease(t / top)
            # a cosine that is 1 to the last bit but falls short: subtract from the end that is near
            return last + (peak - last) * ease((n - 1 - t) / (n - 1 - top)) if t < n - 1 else last

        text = f"onecycle({n}, peak={peak}, up={up}{given}, shape={shape})"
        return Draw(text, 1.0, instants(rng, n, count, [float(top), n - 1]), exact)

    return make


def cyclic(grows: bool) -> Maker:
    def make(rng: random.Random, count: int) -> Draw:
        up, down, n = round(10 ** rng.uniform(0, 6)), round(10 ** rng.uniform(0, 6)), length(rng)
        start, to = rate(rng), rate(rng)
        if grows and start > to:  # a height above 1 would take it below `to`, and past 0
            start, to = to, start
        most = 20 if grows else 0
        gain = math.exp(rng.uniform(-20, most) / max(1.0, n / (up + down)))
        gamma = math.exp(rng.uniform(-20, most) / n)
        text = f"cyclic({up}, to={to}, from={start}, down={down}, gain={gain}, gamma={gamma}, n={n})"
        lower, delta, powers = mpf(start), mpf(to) - mpf(start), (mpf(gain), mpf(gamma))

        def exact(t: int) -> Any:
            c, x = divmod(t, up + down)
            w = mpf(x) / up if x <= up else mpf(up + down - x) / down
            return lower + delta * w * powers[0] ** c * powers[1] ** t

        return Draw(text, 1.0, instants(rng, n, count, [up, up + down, n // (up + down) * (up + down) + up]), exact)

    return make


def wsd(rng: random.Random, count: int) -> Draw:
    warm, stay, fall = length(rng), length(rng), length(rng)
    base, to, n = rate(rng), rng.choice([0.0, rate(rng)]), warm + stay + fall
    shape, weight = rng.choice(list(FALLS.items()))

    def exact(t: int) -> Any:
        if t < warm:
            return base * mpf(t) / warm
        return to + (mpf(base) - to) * weight(mpf(max(0, t - n + fall)), mpf(fall))

    text = f"wsd({n}, {warm}, {fall}, to={to}, shape={shape})"
    return Draw(text, base, instants(rng, n, count, [warm, n - fall]), exact)


def points(rng: random.Random, count: int) -> Draw:
    at = sorted({length(rng) for _ in range(rng.randint(3, 8))} | {1, 10**9})
    values = [rate(rng) for _ in at]
    shape = rng.choice(["linear", "cosine", "geometric"])

    def exact(t: int) -> Any:
        i = sum(t >= place for place in at)
        if i in (0, len(at)):
            return mpf(values[0 if i == 0 else -1])
        a, b = mpf(values[i - 1]), mpf(values[i])
        now, n = mpf(t - at[i - 1]), mpf(at[i] - at[i - 1])
        return a * (b / a) ** (now / n) if shape == "geometric" else b + (a - b) * FALLS[shape](now, n)

    return Draw(f"points({at}, {values}, shape={shape})", 1.0, instants(rng, at[-1], count, at), exact)


def rounds(rng: random.Random, count: int) -> Draw:
    """Rounds of a cosine, longer and lower each time."""
    n, mult, gain, base = round(10 ** rng.uniform(0, 6)), rng.choice([1, 2, 3]), rng.choice([1.0, 0.5, 0.9]), rate(rng)

    def exact(t: int) -> Any:
        c, long = 0, n
        if mult == 1:
            c, t = divmod(t, n)
        while t >= long:
            c, t, long = c + 1, t - long, long * mult
        return base * mpf(gain) ** c * (1 + mp.cospi(mpf(t) / long)) / 2

    return Draw(f"cycle(cosine({n}), mult={mult}, gain={gain})", base, instants(rng, min(10**9, 500 * n), count), exact)


def product(rng: random.Random, count: int) -> Draw:
    n, m, base = length(rng), length(rng), rate(rng)

    def exact(t: int) -> Any:
        return base * (mpf(n - t) / n) * (1 + mp.cospi(mpf(min(t, m)) / m)) / 2

    return Draw(f"linear({n}) * cosine({m})", base, instants(rng, n, count, [m]), exact)


def scaled(rng: random.Random, count: int) -> Draw:
    n, base, k = length(rng), rate(rng), rate(rng)
    return Draw(
        f"linear({n}) | scale({k}) | clamp(max=0.5x)",
        base,
        instants(rng, n, count),
        lambda t: min(base * mpf(n - t) / n * k, mpf(base) / 2),
    )


def cooldown(rng: random.Random, count: int) -> Draw:
    stay, fall, base, to = length(rng), length(rng), rate(rng), rng.choice([0.0, rate(rng)])
    shape, weight = rng.choice(list(FALLS.items()))

    def exact(t: int) -> Any:
        return to + (mpf(base) - to) * weight(mpf(max(0, t - stay)), mpf(fall))

    text = f"hold({stay + fall}) | cooldown({fall}, to={to}, shape={shape})"
    return Draw(text, base, instants(rng, stay + fall, count, [stay]), exact)


def plateau(rng: random.Random, count: int) -> Draw:
    n, base, factor, cuts = length(rng), rate(rng), rng.uniform(0.05, 0.99), rng.randint(0, 200)
    text = f"linear({n}) | plateau(patience=0, factor={factor})"
    reports = (1.0,) * (cuts + 1)  # the first is the best so far
    return Draw(
        text, base, instants(rng, n, count), lambda t: base * mpf(n - t) / n * mpf(factor) ** cuts, reports=reports
    )


def greedy(rng: random.Random, count: int) -> Draw:
    n, base, factor, cuts = length(rng), rate(rng), rng.uniform(0.05, 0.99), rng.randint(1, 200)
    text = f"linear({n}) | greedy(patience=0, factor={factor}, max=1x)"
    reports = (1.0, *[2.0] * cuts)  # the first is the best so far, and may not raise
    return Draw(
        text, base, instants(rng, n, count), lambda t: base * mpf(n - t) / n * mpf(factor) ** cuts, reports=reports
    )


def guard(rng: random.Random, count: int) -> Draw:
    n, base, factor, recover = length(rng), rate(rng), rng.uniform(0.01, 0.99), length(rng)
    text = f"linear({n}) | guard(factor={factor}, recover={recover})"

    def exact(t: int) -> Any:
        healed = min(mpf(1), mpf(max(0, t - 1)) / recover)  # the report was made before update 1
        return base * mpf(n - t) / n * mpf(factor) ** (1 - healed)

    return Draw(text, base, instants(rng, n, count, [recover]), exact, reports=(math.nan,))


def normscale(rng: random.Random, count: int) -> Draw:
    n, base, target, norm = length(rng), rate(rng), rate(rng), rate(rng)
    text = f"linear({n}) | normscale({target}, metric=loss)"
    return Draw(
        text,
        base,
        instants(rng, n, count),
        lambda t: base * mpf(n - t) / n * min(mpf(1), mpf(target) / mpf(norm)),
        reports=(norm,),
    )


def function(name: str, real: Callable[[Any], Any], low: float, high: float) -> Maker:
    """A function of formulas, at arguments of every size."""

    def make(rng: random.Random, count: int) -> Draw:
        shrink = 10 ** rng.choice([0, 0, rng.uniform(-8, 0)])
        first, last = sorted((rng.uniform(low, high) * shrink, rng.uniform(low, high) * shrink))
        first = max(first, low)
        stride = (last - first) / max(1, count - 1)
        text = f"expr(where(t < {LATE}, 1, {name}({first!r} + {stride!r} * (t - {LATE}))))"
        steps = list(range(LATE, LATE + count))
        return Draw(text, 1.0, steps, lambda t: real(mpf(first + stride * (t - LATE))))

    return make


def powers(rng: random.Random, count: int) -> Draw:
    """``pow`` of a traced base, whose logarithm is taken anew at every step."""
    y, first = rng.choice([0.5, -1.5, 3.0, rng.uniform(-20, 20)]), 10 ** rng.uniform(-5, 5)
    stride = first * rng.uniform(0, 1) / count
    text = f"expr(where(t < {LATE}, 1, pow({first!r} + {stride!r} * (t - {LATE}), {y!r})))"
    steps = list(range(LATE, LATE + count))
    return Draw(text, 1.0, steps, lambda t: mpf(first + stride * (t - LATE)) ** mpf(y))


CURVES: dict[str, Maker] = {
    "warmup": ramp("warmup({n}, from={start}, to={end})", linear),
    "warmup-cosine": ramp("warmup({n}, from={start}, to={end}, shape=cosine)", cosine),
    "warmup-log": ramp("warmup({n}, from={start}, to={end}, shape=log)", warmup_log),
    "warmup-sqrt": ramp("warmup({n}, from={start}, to={end}, shape=one_minus_sqrt)", lambda t, n: mp.sqrt((n - t) / n)),
    "linear": ramp("linear({n}, from={start}, to={end})", linear),
    "cosine": ramp("cosine({n}, from={start}, to={end})", cosine),
    "one_minus_sqrt": ramp("one_minus_sqrt({n}, from={start}, to={end})", one_minus_sqrt),
    "polynomial": polynomial,
    "polynomial-between": polynomial_between,
    "geometric": geometric,
    "tanh": tanh,
    "exponential": exponential,
    "exponential-each-step": exponential_each_step,
    "step": step,
    "multistep": multistep,
    "inverse_sqrt": inverse_sqrt,
    "inverse_time": inverse_time,
    "noam": noam,
    "range_test": range_test,
    "onecycle-cosine": onecycle("cosine", lambda u: (1 - mp.cospi(u)) / 2),
    "onecycle-linear": onecycle("linear", lambda u: u),
    "cyclic": cyclic(grows=False),
    "cyclic-grows": cyclic(grows=True),
    "wsd": wsd,
    "points": points,
    "cycle": rounds,
    "product": product,
    "scale-clamp": scaled,
    "cooldown": cooldown,
    "plateau": plateau,
    "greedy": greedy,
    "guard": guard,
    "normscale": normscale,
}
"""Segments, rounds, products and modifiers."""

POWERS = ("exponential", "exponential-each-step", "step", "multistep")
"""A rate times one power."""

FUNCTIONS: dict[str, Maker] = {
    "cos": function("cos", mp.cos, -100, 100),
    "cospi": function("cospi", mp.cospi, -100, 100),
    "exp": function("exp", mp.exp, -700, 700),
    "exp2": function("exp2", lambda x: mpf(2) ** x, -1000, 1000),
    "log": function("log", mp.log, 1e-300, 1e3),
    "log2": function("log2", lambda x: mp.log(x, 2), 1e-300, 1e3),
    "pow": powers,
    "sin": function("sin", mp.sin, -100, 100),
    "sinpi": function("sinpi", mp.sinpi, -100, 100),
    "sqrt": function("sqrt", mp.sqrt, 0, 1e9),
    "tanh": function("tanh", mp.tanh, -20, 20),
}
"""What formulas call."""

EVERYTHING = CURVES | {f"{name}(x)": make for name, make in FUNCTIONS.items()}
