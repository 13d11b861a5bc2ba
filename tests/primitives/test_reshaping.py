"""`take`, `skip`, `sample`, `cooldown` against the same done by hand to a list of rates."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lrdsl
from lrdsl import ScheduleError

LEFT = [
    "linear(24)",
    "cosine(17, to=0.1x)",
    "warmup(5) >> cosine(15, to=0.2x)",
    "hold(7) >> constant(0.5, 4) >> linear(9)",
    "exponential(0.9)",
    "step(5, gamma=0.5)",
    "multistep([3, 9, 9], gamma=0.5, n=20)",
    "0.5 * linear(24) + 0.1x",
    "max(linear(12), cosine(20))",
    "repeat(3, linear(5, to=0.25x), gain=0.5)",
    "cycle(linear(2, to=0.25x), mult=2)",
    "expr(base / (1 + t + step), n=20)",
    "linear(20) | clamp(min=0.3x)",
    "linear(20, to=0.5x) | sample(3)",
    "linear(20, to=0.5x) | skip(2)",
    "linear(20, to=0.5x) | take(15)",
    "linear(20, to=0.5x) | cooldown(6)",
]
FAR = 60


def rates(text, **context):
    """The rates of the first steps, and how many there are."""
    schedule = lrdsl.compile(text, base_lr=1.0, **context)
    return list(schedule.lrs(range(FAR))), schedule.length


def taken(v, length, n):
    return [v[min(t, n)] for t in range(FAR)], n


def skipped(v, length, n):
    return v[n:], length - n


def sampled(v, length, every):
    look = [min(t, length) // every * every for t in range(FAR)]
    return [v[int(t)] for t in look], length


def cooled(v, length, n, to, shape):
    weight = {
        "linear": lambda left: left,
        "cosine": lambda left: math.sin(math.pi * left / 2) ** 2,
        "one_minus_sqrt": lambda left: 1 - math.sqrt(1 - left),
    }[shape]
    length = 48 if math.isinf(length) else length
    left = [min(1.0, max(0, length - t) / n) if n else float(t < length) for t in range(FAR)]
    return [v[t] if w == 1 else to + (v[t] - to) * weight(w) for t, w in enumerate(left)], length


@pytest.mark.parametrize("left", LEFT)
@settings(max_examples=40)
@given(n=st.integers(1, 30))
def test_take(left, n):
    expected, length = taken(*rates(left), n)
    got, ends = rates(f"({left}) | take({n})")
    assert (got, ends) == (expected, length)


@pytest.mark.parametrize("left", [text for text in LEFT if "step" not in text])
@settings(max_examples=40)
@given(n=st.integers(0, 14))
def test_skip(left, n):
    expected, length = skipped(*rates(left), n)
    got, ends = rates(f"({left}) | skip({n})")
    assert ends == length
    assert got[: len(expected)] == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("left", LEFT)
@settings(max_examples=40)
@given(every=st.integers(1, 30))
def test_sample(left, every):
    expected, length = sampled(*rates(left), every)
    got, ends = rates(f"({left}) | sample({every})")
    assert (got, ends) == (expected, length)


@pytest.mark.parametrize("shape", ["linear", "cosine", "one_minus_sqrt"])
@pytest.mark.parametrize("left", LEFT)
@settings(max_examples=40)
@given(n=st.integers(0, 14), to=st.sampled_from([0.0, 0.05, 2.0]))
def test_cooldown(left, shape, n, to):
    expected, length = cooled(*rates(left), n, to, shape)
    got, ends = rates(f"({left}) | cooldown({n}, to={to}, shape={shape})", total_steps=48)
    assert ends == length
    assert got == pytest.approx(expected, rel=1e-13, abs=1e-15)
    assert got[int(length)] == to


@pytest.mark.parametrize("change", ["take(9)", "skip(4)", "sample(4)", "cooldown(5)"])
@pytest.mark.parametrize(
    "left", [text for text in LEFT if "step" not in text and "ex" not in text and "cyc" not in text]
)
def test_anywhere_on_a_clock(left, change):
    """After something else, and in every round of a `repeat`, the same curve."""
    alone, length = rates(f"({left}) | {change}", total_steps=48)
    length = int(length)
    later, _ = rates(f"hold(7) >> (({left}) | {change})", total_steps=48)
    assert later[7:] == pytest.approx(alone[: FAR - 7], rel=1e-14)
    again, ends = rates(f"repeat(2, ({left}) | {change})", total_steps=48)
    assert ends == 2 * length
    assert again[: 2 * length] == pytest.approx(2 * alone[:length], rel=1e-14)
    slower, _ = rates(f"repeat(1, repeat(2, ({left}) | {change}, mult=2))", total_steps=48)
    round_ = slower[length : min(3 * length, FAR)]
    assert round_[::2] == pytest.approx(alone[: len(round_[::2])], rel=1e-14)


def test_a_piece_of_a_combination_ends_on_the_clock_of_its_round():
    text = "((((linear(4, to=0.5x) >> hold(4)) * linear(8)) | take(4)) | sample(2)) >> linear(4)"
    alone = list(lrdsl.compile(text, base_lr=1.0).lrs(range(8)))
    assert list(lrdsl.compile(f"repeat(2, {text})", base_lr=1.0).lrs(range(16))) == 2 * alone


def test_what_flows_on_is_the_value_at_the_end():
    for text, expected in {
        "(hold(5) >> constant(0.5)) | take(5)": 0.5,
        "step(5, gamma=0.5) | take(5)": 0.5,
        "linear(4, to=0.5x) | take(9)": 0.5,
        "linear(10) | sample(4)": 0.2,
        "linear(8, to=0.25x) | sample(4)": 0.25,
        "linear(8) | cooldown(2, to=0.125)": 0.125,
        "linear(8, to=0.25x) | skip(8)": 0.25,
        "(linear(4) >> constant(0.3x, 0)) | sample(2)": 0.3,
        "linear(4, to=0.5x) | cooldown(0) | sample(2)": 0.0,
        "repeat(2, (hold(4) >> cosine(0, to=0.1x)) | sample(2))": 0.1,
    }.items():
        schedule = lrdsl.compile(f"({text}) >> hold(3)", base_lr=1.0)
        assert schedule.lr(int(schedule.length)) == pytest.approx(expected, rel=1e-15), text


def test_lengths_that_are_left_open():
    for text, begins in {
        "hold(10) >> (linear(rest, to=0.5x) | skip(5)) >> hold(20)": [0, 10, 80],
        "hold(10) >> (hold() | take(rest)) >> hold(20)": [0, 10, 80],
        "hold(10) >> (hold() | take(until=40)) >> hold(rest)": [0, 10, 40],
        "hold(rest) >> (linear(30, to=0.5x) | skip(5)) >> hold(20)": [0, 55, 80],
        "hold(rest) >> (linear(30, to=0.5x) | take(12.5%)) >> hold(20)": [0, 68, 80],
        "hold(rest) >> (linear(30, to=0.5x) | cooldown(5))": [0, 70, 95],
        "hold(10) >> (hold() | cooldown(25%))": [0, 10, 75],
    }.items():
        schedule = lrdsl.compile(text, base_lr=1.0, total_steps=100)
        assert [row.begin for row in schedule.segments()] == begins, text
        assert schedule.length == 100


def test_positions_are_rounded_and_lengths_add_up():
    schedule = lrdsl.compile(
        "(hold() | take(0.5ep)) >> (hold() | take(0.5ep)) >> constant(2)", base_lr=1.0, steps_per_epoch=3
    )
    assert [schedule.lr(step) for step in (2, 3)] == [1.0, 2.0]
    text = "linear(10) | skip(0.5ep) | sample(0.5ep)"
    assert (
        lrdsl.compile(text, base_lr=1.0, steps_per_epoch=3).program()
        == lrdsl.compile("linear(10) | skip(2) | sample(2)", base_lr=1.0).program()
    )


def test_reports_are_heard_where_the_left_side_still_runs():
    def cuts(text, steps):
        schedule = lrdsl.compile(text, base_lr=1.0)
        for step in steps:
            schedule.observe(1.0, step=step)
        return round(-math.log2(schedule.lr(4)))

    assert cuts("(hold(10) | plateau(0, 0.5)) | take(5)", [0, 3, 4, 5, 9]) == 2
    assert cuts("hold(2) >> ((hold(10) | plateau(0, 0.5)) | skip(5)) >> hold(3)", [0, 1, 2, 6, 7, 8]) == 1
    assert cuts("(hold() | plateau(0, 0.5)) | sample(3)", [0, 3, 4]) == 2
    assert cuts("(hold(5) | plateau(0, 0.5)) | cooldown(0, to=0.5x)", [0, 3, 4, 5]) == 2


def test_explain_names_what_changed():
    schedule = lrdsl.compile("warmup(10) >> hold() | cooldown(20, shape=cosine)", base_lr=1.0, total_steps=100)
    assert [(row.begin, row.label, row.modifiers) for row in schedule.segments()] == [
        (0, "warmup(10)", ()),
        (10, "hold()", ()),
        (80, "hold()", ("cooldown(20, shape=cosine)",)),
    ]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("E0409", "linear(10) | skip(11)"),
        ("E0409", "linear(10) | cooldown(11)"),
        ("E0409", "hold(200) >> (hold() | cooldown(5))"),
        ("E0407", "linear(rest) | take(5)"),
        ("E0407", "linear(10) | skip(rest)"),
        ("E0407", "linear(10) | cooldown(rest)"),
        ("E0407", "cycle(hold() | cooldown(5))"),
        ("E0407", "hold(rest) >> (hold() | cooldown(5))"),
        ("E0407", "cycle(hold() | take(until=5))"),
        ("E0408", "hold(rest) >> (hold() | take(rest))"),
        ("E0408", "hold(rest) >> (hold() | take(until=50))"),
        ("E0406", "linear(10) | sample(0)"),
        ("E0411", "linear(10) | take(inf)"),
        ("E0411", "linear(10) | skip(inf)"),
        ("E0208", "linear(10) | take()"),
        ("E0410", "hold(50) >> (hold() | take(until=40))"),
        ("E0315", "linear(10) | cooldown(5, shape=log)"),
        ("E0607", "linear(10) | cooldown(5, to=-1)"),
    ],
)
def test_refused(code, text):
    with pytest.raises(ScheduleError) as caught:
        lrdsl.compile(text, base_lr=1.0, total_steps=100)
    assert caught.value.code == code


def test_a_cooldown_needs_to_know_where_the_run_ends():
    with pytest.raises(ScheduleError, match="E0401: `cooldown` of a schedule that never ends needs total_steps"):
        lrdsl.compile("hold() | cooldown(5)", base_lr=1.0)
    assert lrdsl.compile("hold(9) | cooldown(5)", base_lr=1.0).length == 9
