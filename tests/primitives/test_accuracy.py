"""Every curve against its real-number formula, worked out by mpmath with 200 bits.

The formulas are those of the specification, written anew from its table; the inputs are the doubles that the
schedule got. Lengths go up to 1e9 steps and the errors are counted in ULP of the exact value.
"""

import math
import random

import pytest
from mpmath import mp, mpf

import lrdsl

SAMPLES = 300
ULPS = 6.0


@pytest.fixture(autouse=True)
def two_hundred_bits():
    with mp.workprec(200):
        yield


def ulps(got, exact):
    """Distance of a double from a real number, in units of the last place of that number."""
    if exact == 0:
        return 0.0 if got == 0 else math.inf
    return float(abs(mpf(got) - exact) / mpf(math.ulp(float(abs(exact)))))


def length(rng):
    return max(2, round(10 ** rng.uniform(0.3, 9)))


def instant(rng, n):
    """A step in [0, n], often next to one of the ends."""
    near = round(10 ** rng.uniform(0, math.log10(n)))
    return min(n, max(0, rng.choice([rng.randint(0, n), near, n - near])))


def rate(rng):
    return 10 ** rng.uniform(-6, 1)


def curve(text, weight):
    """A segment from one rate to another: `weight` is the share of `from` left at (t, n)."""

    def case(rng):
        n, base, start, end = length(rng), rate(rng), rate(rng), rate(rng)
        t, end = instant(rng, n), rng.choice([0.0, end])
        exact = end + (mpf(start) - end) * weight(mpf(t), mpf(n))
        return text.format(n=n, start=start, end=end), base, t, exact

    return case


def warmup_log(t, n):
    return 1 - (mp.log(t + 1) / mp.log(n) if t < n - 1 else 1)


def polynomial(rng):
    n, base, power = length(rng), rate(rng), rng.choice([0.5, 0.9, 2.0, 3.0, rng.uniform(0.25, 4)])
    t = instant(rng, n)
    return f"polynomial({n}, power={power})", base, t, base * ((n - mpf(t)) / n) ** mpf(power)


def geometric(rng):
    n, base, end = length(rng), rate(rng), rate(rng)
    t = instant(rng, n)
    return f"geometric({n}, to={end})", base, t, base * (mpf(end) / mpf(base)) ** (mpf(t) / n)


def gamma_of(rng, t, every):
    """A factor that leaves e**-60 … 1 of the base at step t."""
    return math.exp(rng.uniform(-60, 0) / max(1.0, t / every))


def exponential(rng):
    t, every, base = round(10 ** rng.uniform(0, 9)), 10 ** rng.uniform(0, 6), rate(rng)
    gamma = gamma_of(rng, t, every)
    return f"exponential({gamma}, every={every})", base, t, base * mpf(gamma) ** (mpf(t) / mpf(every))


def exponential_each_step(rng):
    t, base = round(10 ** rng.uniform(0, 9)), rate(rng)
    gamma = gamma_of(rng, t, 1)
    return f"exponential({gamma})", base, t, base * mpf(gamma) ** t


def step(rng):
    t, every, base = round(10 ** rng.uniform(0, 9)), round(10 ** rng.uniform(0, 4)), rate(rng)
    gamma = gamma_of(rng, t, every)
    return f"step({every}, gamma={gamma})", base, t, base * mpf(gamma) ** (t // every)


def multistep(rng):
    at = sorted(rng.randint(0, 10**9) for _ in range(rng.randint(1, 6)))
    t, base, gamma = rng.choice([*at, rng.randint(0, 10**9)]), rate(rng), rng.uniform(0.1, 1)
    return f"multistep({at}, gamma={gamma})", base, t, base * mpf(gamma) ** sum(t >= milestone for milestone in at)


def inverse_sqrt(rng):
    t, timescale, base = round(10 ** rng.uniform(0, 9)), 10 ** rng.uniform(0, 6), rate(rng)
    return f"inverse_sqrt({timescale})", base, t, base * mp.sqrt(mpf(timescale) / (mpf(timescale) + t))


def inverse_time(rng):
    t, every, base, k = round(10 ** rng.uniform(0, 9)), 10 ** rng.uniform(0, 6), rate(rng), 10 ** rng.uniform(-3, 3)
    return f"inverse_time({k}, every={every})", base, t, base / (1 + mpf(k) * t / mpf(every))


FUNCTIONS = {
    "warmup": curve("warmup({n}, from={start}, to={end})", lambda t, n: (n - t) / n),
    "warmup-cosine": curve("warmup({n}, from={start}, to={end}, shape=cosine)", lambda t, n: mp.cospi(t / n / 2) ** 2),
    "warmup-log": curve("warmup({n}, from={start}, to={end}, shape=log)", warmup_log),
    "warmup-sqrt": curve(
        "warmup({n}, from={start}, to={end}, shape=one_minus_sqrt)", lambda t, n: mp.sqrt((n - t) / n)
    ),
    "linear": curve("linear({n}, from={start}, to={end})", lambda t, n: 1 - t / n),
    "cosine": curve("cosine({n}, from={start}, to={end})", lambda t, n: (1 + mp.cospi(t / n)) / 2),
    "one_minus_sqrt": curve("one_minus_sqrt({n}, from={start}, to={end})", lambda t, n: 1 - mp.sqrt(t / n)),
    "polynomial": polynomial,
    "polynomial-to": curve("polynomial({n}, power=2, from={start}, to={end})", lambda t, n: ((n - t) / n) ** 2),
    "geometric": geometric,
    "exponential": exponential,
    "exponential-each-step": exponential_each_step,
    "step": step,
    "multistep": multistep,
    "inverse_sqrt": inverse_sqrt,
    "inverse_time": inverse_time,
}


@pytest.mark.parametrize("case", FUNCTIONS.values(), ids=FUNCTIONS)
def test_within_a_few_ulps_of_the_formula(case):
    rng = random.Random(0)
    for _ in range(SAMPLES):
        text, base, t, exact = case(rng)
        got = lrdsl.compile(text, base_lr=base).lr(t)
        assert ulps(got, exact) <= ULPS, f"{text}, base {base}, step {t}: {got} for {mp.nstr(exact, 20)}"


@pytest.mark.parametrize("case", [exponential, exponential_each_step, step, multistep], ids=lambda case: case.__name__)
def test_powers_are_within_two_ulps(case):
    rng = random.Random(1)
    for _ in range(SAMPLES):
        text, base, t, exact = case(rng)
        assert ulps(lrdsl.compile(text, base_lr=base).lr(t), exact) <= 2.0, text


def test_a_year_of_updates_keeps_its_digits():
    schedule = lrdsl.compile("exponential(0.99999999, every=3)", base_lr=0.3)
    for t in (1, 10**3, 10**6, 10**9):
        assert ulps(schedule.lr(t), 0.3 * mpf(0.99999999) ** (mpf(t) / 3)) <= 2.0
