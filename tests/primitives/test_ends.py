"""Where segments begin and end: the boundary step, both ends bit for bit, and what is held."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrdsl
from lrdsl.primitives import SEGMENTS

RAMPS = [
    "linear({n}, from={start}, to={end})",
    "cosine({n}, from={start}, to={end})",
    "polynomial({n}, power=0.9, from={start}, to={end})",
    "polynomial({n}, power=3, from={start}, to={end})",
    "one_minus_sqrt({n}, from={start}, to={end})",
    "geometric({n}, from={start}, to={end})",
    "warmup({n}, from={start}, to={end})",
    "warmup({n}, from={start}, to={end}, shape=cosine)",
    "warmup({n}, from={start}, to={end}, shape=log)",
    "warmup({n}, from={start}, to={end}, shape=one_minus_sqrt)",
]
DECAYS = {
    "exponential(0.5, n={n})": lambda t: 0.5**t,
    "exponential(4, every=2, n={n})": lambda t: 2.0**t,
    "step(3, gamma=0.5, n={n})": lambda t: 0.5 ** (t // 3),
    "multistep([0, 2, 2, 6], gamma=0.5, n={n})": lambda t: 0.5 ** (1 + 2 * (t >= 2) + (t >= 6)),
    "multistep([1, 6], values=[1, 0.5, 0.25], n={n})": lambda t: [1, 0.5, 0.25][(t >= 1) + (t >= 6)],
    "inverse_sqrt(1, n={n})": lambda t: math.sqrt(1 / (1 + t)),
    "inverse_time(2, n={n})": lambda t: 1 / (1 + 2 * t),
    "noam(4, warmup=4, n={n})": lambda t: min(1 / math.sqrt(t), t / 8) / 2 if t else 0,
    "cyclic(2, to=3, down=1, gain=0.5, n={n})": lambda t: 1 + (0, 1, 2)[t % 3] * 0.5 ** (t // 3),
    "cyclic(1, to=0.5, gamma=0.5, n={n})": lambda t: 1 - (t % 2) * 0.5 * 0.5**t,
    "range_test(2, rate=3, n={n})": lambda t: 1 + 1.5 * t,
    "range_test(2.5, staircase=true, n={n})": lambda t: 1 + (2 * t) // 5,
    "expr(prev / (1 + t), n={n})": lambda t: 1 / (1 + t),
}
rates = st.floats(1e-12, 1e3)
lengths = st.integers(1, 100) | st.integers(1, 2**50)


def promising(words):
    """Segments whose docstring says this of their end."""
    return {name for name, primitive in SEGMENTS.items() if words in " ".join(primitive.doc.split())}


def test_every_segment_is_here_as_its_docstring_promises():
    assert {text.partition("(")[0] for text in RAMPS} == promising("After ``n`` steps: ``to``, held")
    assert {text.partition("(")[0] for text in DECAYS} == promising("After ``n`` steps: the formula at t = n, held")


@pytest.mark.parametrize("text", RAMPS)
@given(n=lengths, start=rates, end=rates)
def test_a_ramp_begins_and_ends_on_the_bit(text, n, start, end):
    schedule = lrdsl.compile(text.format(n=n, start=start, end=end), base_lr=1.0)
    assert schedule.lr(0) == start
    assert [schedule.lr(step) for step in (n, n + 1, n + 10**9)] == [end] * 3
    assert schedule.length == n


@pytest.mark.parametrize("text", RAMPS)
@given(n=lengths, start=rates, end=rates, at=st.lists(st.floats(0, 1), max_size=5))
def test_a_ramp_stays_between_its_ends(text, n, start, end, at):
    schedule = lrdsl.compile(text.format(n=n, start=start, end=end), base_lr=1.0)
    for value in schedule.lrs([min(n, int(share * n)) for share in at]):
        assert min(start, end) * (1 - 1e-15) <= value <= max(start, end) * (1 + 1e-15)


@pytest.mark.parametrize("text", RAMPS)
def test_around_the_boundaries_of_a_ramp(text):
    schedule = lrdsl.compile("hold(5) >> " + text.format(n=7, start=0.5, end=0.25) + " >> constant(2)", base_lr=1.0)
    assert (schedule.lr(4), schedule.lr(5)) == (1.0, 0.5)
    assert 0.5 > schedule.lr(6) > schedule.lr(10)
    # DeepSpeed's logarithmic warm-up, which `log` is, arrives one step early.
    assert schedule.lr(11) == 0.25 if "log" in text else 0.25 < schedule.lr(11) < schedule.lr(10)
    assert (schedule.lr(12), schedule.lr(13)) == (2.0, 2.0)
    assert [(row.begin, row.end, row.out) for row in schedule.segments()][:2] == [(0, 5, 1.0), (5, 12, 0.25)]


@pytest.mark.parametrize("text", RAMPS)
def test_the_end_flows_on(text):
    schedule = lrdsl.compile(text.format(n=7, start=0.5, end=0.25) + " >> linear(4)", base_lr=1.0)
    assert [schedule.lr(step) for step in (7, 8, 9, 11)] == [0.25, 0.1875, 0.125, 0.0]


@pytest.mark.parametrize(("text", "value"), DECAYS.items())
def test_an_open_ended_segment(text, value):
    endless = lrdsl.compile(text.format(n="inf"), base_lr=1.0)
    assert endless.length == math.inf
    cut = lrdsl.compile("hold(3) >> " + text.format(n=8), base_lr=1.0)
    for t in range(12):
        assert endless.lr(t) == pytest.approx(value(t), rel=1e-15)
        assert cut.lr(3 + t) == endless.lr(min(t, 8))
    onward = lrdsl.compile(text.format(n=8) + " >> hold()", base_lr=1.0)
    assert onward.lr(8) == onward.lr(10**6) == endless.lr(8)
    until = lrdsl.compile("hold(3) >> " + text.replace("n={n}", "until=11"), base_lr=1.0)
    assert until.program() == cut.program()


@pytest.mark.parametrize("text", RAMPS)
def test_a_ramp_without_steps_only_passes_its_end_on(text):
    schedule = lrdsl.compile(f"hold(2) >> {text.format(n=0, start=0.5, end=0.25)} >> hold(3)", base_lr=1.0)
    assert [schedule.lr(step) for step in (1, 2, 5)] == [1.0, 0.25, 0.25]
    assert schedule.length == 5 and [row.begin for row in schedule.segments()] == [0, 2]


@pytest.mark.parametrize("text", [text for text in DECAYS if "multistep" not in text and "noam" not in text])
def test_an_open_ended_segment_without_steps_changes_nothing(text):
    schedule = lrdsl.compile(f"hold(2) >> {text.format(n=0)} >> hold(3)", base_lr=1.0)
    assert set(schedule.lrs(range(7))) == {1.0}


@pytest.mark.parametrize("text", [text for text in RAMPS if "geometric" not in text])
def test_a_flat_ramp_is_flat_to_the_bit(text):
    schedule = lrdsl.compile(text.format(n=97, start=0.3, end=0.3), base_lr=1.0)
    assert set(schedule.lrs(range(100))) == {0.3}


@given(n=st.integers(1, 2**50), start=rates, peak=rates, end=rates, shape=st.sampled_from(["cosine", "linear"]))
def test_one_cycle_meets_its_three_rates(n, start, peak, end, shape):
    text = f"onecycle({4 * n}, peak={peak}, up=0.5, start={start}, end={end}, shape={shape})"
    schedule = lrdsl.compile(text, base_lr=1.0)
    steps = [0, 2 * n - 1, 4 * n - 1, 4 * n, 4 * n + 10**9]
    assert list(schedule.lrs(steps)) == [start, peak, end, end, end]
    assert schedule.length == 4 * n


def test_one_cycle_too_short_to_rise():
    for n in (0, 1, 3):
        with pytest.raises(lrdsl.ScheduleError, match="E0601"):
            lrdsl.compile(f"onecycle({n}) >> hold()", base_lr=1.0)
    assert list(lrdsl.compile("onecycle(4, start=0.25, end=0.5)", base_lr=1.0).lrs([0, 3, 4])) == [0.25, 0.5, 0.5]
    assert lrdsl.compile(f"onecycle({2**50})", base_lr=1.0).lr(2**50 - 1) == 1 / 25 / 10_000


@given(n=lengths, start=rates, end=rates)
def test_tanh_comes_near_both_ends(n, start, end):
    schedule = lrdsl.compile(f"tanh({n}, from={start}, to={end}, lb=-20, ub=20)", base_lr=1.0)
    assert schedule.lr(0) == pytest.approx(start, rel=1e-15, abs=1e-15 * end)
    assert schedule.lr(n) == schedule.lr(n + 10**9) == pytest.approx(end, rel=1e-15, abs=1e-15 * start)


def test_tanh_without_steps_passes_the_end_of_its_formula_on():
    schedule = lrdsl.compile("hold(2) >> tanh(0) >> hold(3)", base_lr=1.0)
    assert schedule.lr(1) == 1.0
    assert schedule.lr(2) == schedule.lr(4) == lrdsl.compile("tanh(9)", base_lr=1.0).lr(9)


def test_rest_ends_on_total():
    for total in (1, 7, 1001, 10**9 + 7):
        schedule = lrdsl.compile("warmup(1%) >> hold(rest) >> linear(33%)", base_lr=1.0, total_steps=total)
        assert schedule.length == total and schedule.lr(total) == 0.0


def test_rest_in_modifiers_and_operands():
    text = "warmup(10) >> (0.5 * cosine(rest) | clamp(min=0.1x)) >> linear(30, to=0)"
    schedule = lrdsl.compile(text, base_lr=1.0, total_steps=100)
    assert [row.begin for row in schedule.segments()] == [0, 10, 70]
    both = lrdsl.compile("hold(10) >> max(linear(rest), cosine(rest)) >> hold(5)", base_lr=1.0, total_steps=100)
    assert [row.begin for row in both.segments()] == [0, 10, 95]


def test_until_is_on_the_clock_of_the_schedule():
    schedule = lrdsl.compile(
        "hold(until=25%) >> linear(until=75%, to=0.5x) >> hold(until=total)", base_lr=1.0, total_steps=8
    )
    assert list(schedule.lrs(range(9))) == [1, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.5, 0.5]
