"""`repeat` and `cycle` against the same rounds written out one after another."""

import math

import pytest

import lrdsl

BODIES = [
    "linear(8)",
    "cosine(7, to=0.1x)",
    "warmup(2) >> cosine(6, to=1e-3)",
    "exponential(0.5, n=4)",
    "multistep([1, 3], n=6)",
    "linear(3, to=0.5x) >> hold(2) >> linear(3, from=1x)",
    "0.5 * linear(4) + 0.1x",
    "max(linear(8), 0.25x) | clamp(max=0.75x)",
    "expr(prev * (1 + t) / n, n=5)",
    "step(2, gamma=0.5, n=7)",
    "repeat(2, linear(3, to=0.5x), gain=0.5)",
    "wsd(9, 2, 3, to=0.1x)",
    "points([1, 5, 8], [0.5x, 1x, prev / 4])",
    "onecycle(8)",
    "cyclic(2, to=0.5x, down=1, gain=0.5, n=8)",
    "tanh(6)",
    "range_test(3, staircase=true, n=7)",
    "noam(4, warmup=3, n=7)",
]


def rounds(body, times, mult, gain, base, steps):
    """The rates of rounds that are evaluated one by one, each with a base of its own."""
    round_, begin = 0, 0
    for step in range(steps):
        one = lrdsl.compile(body, base_lr=base * gain**round_)
        while step - begin >= one.length * mult**round_ and round_ < times - 1:
            begin += one.length * mult**round_
            round_ += 1
            one = lrdsl.compile(body, base_lr=base * gain**round_)
        yield one, (step - begin) / mult**round_


@pytest.mark.parametrize("gain", [1, 0.5, 2, 0])
@pytest.mark.parametrize("body", BODIES)
def test_rounds_of_equal_length(body, gain):
    repeated = lrdsl.compile(f"repeat(4, {body}, gain={gain})", base_lr=0.25)
    cycled = lrdsl.compile(f"cycle({body}, gain={gain})", base_lr=0.25)
    length = lrdsl.compile(body, base_lr=1.0).length
    assert repeated.length == 4 * length
    for step, (one, t) in enumerate(rounds(body, 4, 1, gain, 0.25, 4 * length + 3)):
        assert repeated.lr(step) == pytest.approx(one.lr(int(t)), rel=1e-15)
        if step < 4 * length:
            assert cycled.lr(step) == repeated.lr(step)


@pytest.mark.parametrize("mult", [2, 3, 10])
@pytest.mark.parametrize("gain", [1, 0.5])
def test_stretched_rounds(mult, gain):
    schedule = lrdsl.compile(f"repeat(4, linear(4, to=0.5x), mult={mult}, gain={gain})", base_lr=1.0)
    assert schedule.length == 4 * sum(mult**c for c in range(4))
    begin = 0
    for c in range(4):
        n = 4 * mult**c
        for t in range(n):
            assert schedule.lr(begin + t) == pytest.approx(gain**c * (1 - t / n / 2), rel=1e-15)
        begin += n
    assert schedule.lr(begin) == gain**3 * 0.5


@pytest.mark.parametrize("mult", [2, 3])
@pytest.mark.parametrize("body", [body for body in BODIES if "repeat" not in body])
def test_a_stretched_round_passes_through_the_body_s_values(body, mult):
    schedule = lrdsl.compile(f"cycle({body}, mult={mult}, gain=0.5)", base_lr=1.0)
    begin = 0
    for c in range(4):
        one = lrdsl.compile(body, base_lr=0.5**c)
        steps = [begin + t * mult**c for t in range(int(one.length))]
        assert schedule.lrs(steps) == pytest.approx(one.lrs(range(int(one.length))), rel=1e-15)
        begin += int(one.length) * mult**c


@pytest.mark.parametrize("inner", ["cosine(1000)", "hold(300) >> cosine(700)", "repeat(2, cosine(500), mult=5)"])
def test_the_last_steps_of_a_stretched_round_keep_their_digits(inner):
    """Local time is a third, or a fifteenth, of a step there; what rounding takes from it is not lost."""
    schedule = lrdsl.compile(f"repeat(8, {inner}, mult=3)", base_lr=1.0)
    body = int(lrdsl.compile(inner, base_lr=1.0).length)
    end = body * sum(3**c for c in range(8))
    length = 3**7 * (2500 if "repeat" in inner else 700 if "hold" in inner else 1000)
    for k in (1, 2, 5, 1000):
        assert schedule.lr(end - k) == pytest.approx(math.sin(math.pi * k / length / 2) ** 2, rel=2e-15)


def test_a_stretched_body_sees_its_own_slower_clock():
    schedule = lrdsl.compile("cycle(step(2, gamma=0.5, n=4), mult=2)", base_lr=1.0)
    assert list(schedule.lrs(range(12))) == [1, 1, 0.5, 0.5, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]


def test_a_round_is_as_long_as_its_rounded_body():
    schedule = lrdsl.compile("repeat(3, linear(0.5ep))", base_lr=1.0, steps_per_epoch=5)
    assert schedule.length == 9
    assert [schedule.lr(step) for step in (0, 3, 6, 9)] == [1, 1, 1, 0]


def test_prev_of_every_round_is_that_of_the_repeat():
    schedule = lrdsl.compile("constant(0.5, 2) >> repeat(3, linear(4), gain=0.5) >> constant(1)", base_lr=1.0)
    assert [schedule.lr(step) for step in (2, 4, 6, 8, 10, 12, 14)] == [0.5, 0.25, 0.25, 0.125, 0.125, 0.0625, 1.0]


def test_absolute_rates_stay():
    schedule = lrdsl.compile("cycle(linear(4, from=0.8, to=0.4), gain=0.5)", base_lr=1.0)
    assert schedule.lr(0) == schedule.lr(4) == schedule.lr(4000) == 0.8


def test_far_rounds():
    schedule = lrdsl.compile("cycle(linear(4), mult=2)", base_lr=1.0)
    for c in range(1, 50):
        begin = 4 * (2**c - 1)
        assert (schedule.lr(begin - 1), schedule.lr(begin)) == pytest.approx((2.0 ** -(c + 1), 1.0), rel=1e-15)
    long = lrdsl.compile(f"repeat({2**40}, linear(8))", base_lr=1.0)
    assert long.length == 2**43
    assert [long.lr(2**43 - k) for k in (8, 4, 1, 0)] == [1.0, 0.5, 0.125, 0.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("repeat(2, expr(step, n=2) >> hold(1))", [0, 1, 2, 3, 4, 5, 5, 5]),
        ("hold(1) >> repeat(2, expr(step, n=2) >> hold(2), mult=2)", [1, 1, 2, 3, 3, 5, 6, 7, 8, 9, 9, 9, 9, 9, 9]),
        ("repeat(2, repeat(2, expr(step, n=1) >> hold(1)) >> hold(1))", [0, 1, 2, 3, 3, 5, 6, 7, 8, 8, 8, 8]),
    ],
)
def test_step_is_the_schedule_s_own_clock_and_a_held_end_stands_still(text, expected):
    assert list(lrdsl.compile(text, base_lr=1.0).lrs(range(len(expected)))) == expected


def test_behind_a_plateau():
    schedule = lrdsl.compile("(hold(2) | plateau(0, 0.5)) >> repeat(2, linear(4)) | clamp(max=0.75)", base_lr=1.0)
    schedule.observe(1.0, step=1)
    schedule.observe(1.0, step=1)
    assert [schedule.lr(step) for step in (2, 4, 6, 8, 10)] == [0.5, 0.25, 0.5, 0.25, 0.0]
