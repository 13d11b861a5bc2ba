"""The functions of `expr(...)` against mpmath, and IEEE's answers where a real number has none."""

import math
import random
import struct

import pytest
from mpmath import mp, mpf

import lrdsl

REALS = {
    "abs": (abs, -1e6, 1e6),
    "ceil": (mp.ceil, -1e6, 1e6),
    "cos": (mp.cos, -1, 1),
    "cospi": (mp.cospi, -100, 100),
    "exp": (mp.exp, -700, 700),
    "exp2": (lambda x: mpf(2) ** x, -1000, 1000),
    "floor": (mp.floor, -1e6, 1e6),
    "log": (mp.log, 1e-300, 1e3),
    "log2": (lambda x: mp.log(x, 2), 1e-300, 1e3),
    "sin": (mp.sin, -1, 1),
    "sinpi": (mp.sinpi, -100, 100),
    "sqrt": (mp.sqrt, 0, 1e9),
    "tanh": (mp.tanh, -20, 20),
}


def value(text, step=0, **params):
    """What a formula gives at a step that the static check does not sample."""
    schedule = lrdsl.compile(f"expr(where(step == {step + 5000003}, {text}, 1))", base_lr=1.0, params=params)
    return schedule.lr(step + 5000003)


@pytest.mark.parametrize("name", REALS)
def test_a_function_of_one_real(name):
    function, low, high = REALS[name]
    rng = random.Random(name)
    with mp.workprec(200):
        for _ in range(150):
            x = rng.uniform(low, high) * rng.choice([1, 1, 1e-3, 1e-8])
            got, exact = value(f"{name}(x)", x=x), function(mpf(x))
            # Near a zero of sine and cosine the argument's own rounding decides.
            assert abs(got - exact) <= 4 * math.ulp(float(exact)) + (1e-15 if name.endswith("pi") else 0), x


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mod(7, 3)", 1.0),
        ("mod(-7, 3)", 2.0),
        ("mod(7.5, 2)", 1.5),
        ("pow(2, 10)", 1024.0),
        ("pow(2, -2)", 0.25),
        ("2 ** 0.5 ** 2", 2**0.25),
        ("-2 ** 2", -4.0),
        ("(-2) ** 3", -8.0),
        ("clamp(5, 1, 3)", 3.0),
        ("clamp(0, 1, 3)", 1.0),
        ("min(3, 1, 2)", 1.0),
        ("max(3, 1, 2)", 3.0),
        ("where(0, 1, 2)", 2.0),
        ("where(1 / 0 > 0, 1, 2)", 1.0),
        ("(1 < 2) + (2 <= 2) + (3 > 2) + (2 >= 2) + (1 == 1) + (1 != 1)", 5.0),
        ("floor(-0.5)", -1.0),
        ("ceil(0.5) + floor(1e300) / 1e300", 2.0),
        ("sinpi(0.5) + cospi(1) + sinpi(3)", 0.0),
        ("pi", math.pi),
        ("0.5x", 0.5),
        ("1 / 0", math.inf),
        ("-1 / 0", -math.inf),
        ("0 / 0", math.nan),
        ("sqrt(-1)", math.nan),
        ("log(0)", -math.inf),
        ("log(-1)", math.nan),
        ("exp(1000)", math.inf),
        ("exp(-1000)", 0.0),
        ("10 ** 400", math.inf),
        ("(-8) ** 0.5", math.nan),
        ("0 ** 0", 1.0),
        ("cospi(1 / 0)", math.nan),
        ("tanh(1 / 0)", 1.0),
        ("tanh(-1 / 0)", -1.0),
        ("mod(1, 0)", math.nan),
        ("floor(1 / 0)", math.inf),
    ],
)
def test_constants(text, expected):
    got = value(text)
    assert got == expected or (math.isnan(got) and math.isnan(expected))


@pytest.mark.parametrize("name", REALS)
def test_folding_and_running_give_the_same_bits(name):
    low = REALS[name][1]
    for x in (0.3, 1.7, 19.0, 2.0**60, -0.0, *([] if low >= 0 else [-2.5])):
        folded = value(f"{name}(x)", x=x)
        run = value(f"{name}(x + 0 * step)", x=x)
        assert struct.pack("<d", folded) == struct.pack("<d", run) or (math.isnan(folded) and math.isnan(run)), x


def test_what_a_formula_sees():
    text = "hold(10) >> expr(1e6 * t + 1e4 * step + 1e2 * n + total + base + prev + k, n=20) >> hold()"
    schedule = lrdsl.compile(text, base_lr=0.5, total_steps=50, params={"k": 0.25})
    assert schedule.lr(13) == 3e6 + 13e4 + 20e2 + 50 + 0.5 + 0.5 + 0.25
    assert schedule.lr(40) == 20e6 + 30e4 + 20e2 + 50 + 0.5 + 0.5 + 0.25


def test_u_runs_from_0_to_1():
    schedule = lrdsl.compile("expr(u, n=4) >> hold()", base_lr=1.0)
    assert list(schedule.lrs(range(6))) == [0, 0.25, 0.5, 0.75, 1, 1]


def test_a_let_in_a_formula_is_steps_or_a_rate():
    schedule = lrdsl.compile("let w = 3ep; let f = 0.5x; expr(f * w + t)", base_lr=2.0, steps_per_epoch=10)
    assert schedule.lr(4) == 34.0


def test_the_clock_stands_still_once_a_formula_has_ended():
    schedule = lrdsl.compile("hold(1) >> expr(step, n=3) >> hold(2) >> constant(prev)", base_lr=1.0)
    assert list(schedule.lrs(range(9))) == [1, 1, 2, 3, 4, 4, 4, 4, 4]


def test_a_value_that_was_not_sampled_is_returned_as_it_is():
    schedule = lrdsl.compile("expr(where(t == 12345, 1 / (t - 12345), where(t == 12346, -1, 1)))", base_lr=1.0)
    assert [schedule.lr(step) for step in (12344, 12345, 12346)] == [1.0, math.inf, -1.0]
