"""`wsd` and `points` leave the Program of the sequence they are short for, wherever they stand."""

import pytest

import lrdsl

RUN = {"base_lr": 0.25, "total_steps": 1001, "steps_per_epoch": 7.5}


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("wsd(100, 10, 20)", "warmup(10) >> hold(70) >> linear(20)"),
        ("wsd(100, 10, 20, min=0.1x)", "warmup(10) >> hold(70) >> linear(20, to=0.1x)"),
        ("wsd(100, 10, 20, shape=cosine)", "warmup(10) >> hold(70) >> cosine(20)"),
        ("wsd(100, 10, 20, 1e-4, one_minus_sqrt)", "warmup(10) >> hold(70) >> one_minus_sqrt(20, to=1e-4)"),
        ("wsd(total, 33%, 33%)", "warmup(33%) >> hold(34%) >> linear(33%)"),
        ("wsd(rest, 1ep, 3ep)", "warmup(1ep) >> hold(rest) >> linear(3ep)"),
        ("hold(5) >> wsd(rest, 1%, 2%) >> hold(50%)", "hold(5) >> warmup(1%) >> hold(rest) >> linear(2%) >> hold(50%)"),
        ("hold(5) >> wsd(until=500, warmup=9, decay=8)", "hold(5) >> warmup(9) >> hold(until=492) >> linear(8)"),
        ("hold(rest) >> wsd(10%, 1%, 2%)", "hold(rest) >> warmup(1%) >> hold(7%) >> linear(2%)"),
        ("0.5 * wsd(rest, 10, 10)", "0.5 * (warmup(10) >> hold(rest) >> linear(10))"),
        ("let tail = wsd(rest, 1, 2); hold(9) >> tail", "hold(9) >> warmup(1) >> hold(rest) >> linear(2)"),
        ("repeat(3, wsd(9, 2, 3), mult=3)", "repeat(3, warmup(2) >> hold(4) >> linear(3), mult=3)"),
        ("cycle(wsd(9, 2, 3), gain=0.5)", "cycle(warmup(2) >> hold(4) >> linear(3), gain=0.5)"),
        ("points([0, 10, 30], [0, 1x, 0.1x])", "constant(0, 0) >> linear(10, to=1x) >> linear(20, to=0.1x)"),
        ("points([5, 10], [0, 1x])", "constant(0, 5) >> linear(5, to=1x)"),
        ("points([5, 10], [1x, 2], cosine)", "constant(1x, 5) >> cosine(5, to=2)"),
        ("points([5, 10], [1x, 2], geometric)", "constant(1x, 5) >> geometric(5, to=2)"),
        ("repeat(2, points([1, 9], [prev, 0]), gain=2)", "repeat(2, constant(prev, 1) >> linear(8), gain=2)"),
        ("hold(9) >> points([1%, 5%], [prev / 2, 1x])", "hold(9) >> constant(prev / 2, 10) >> linear(40, to=1x)"),
    ],
)
def test_the_same_program(short, long):
    assert lrdsl.compile(short, **RUN).program() == lrdsl.compile(long, **RUN).program()


def test_rows_are_the_segments_it_stands_for():
    text = "wsd(1000, warmup=100, decay=200, to=0.1x)"
    rows = lrdsl.compile(text, base_lr=1.0).segments()
    assert [row.label for row in rows] == ["warmup(100)", "hold(700)", "linear(200, to=0.1)"]
    assert {row.span for row in rows} == {(0, len(text))}
    labels = [row.label for row in lrdsl.compile("points([5, 9], [2x, 1e-5], cosine)", base_lr=0.5).segments()]
    assert labels == ["constant(1, 5)", "cosine(4, to=1e-5)"]


def test_a_rate_without_a_number_shows_the_call():
    text = "(hold(5) | plateau()) >> points([2, 6], [1x, prev / 2])"
    labels = [row.label for row in lrdsl.compile(text, base_lr=1.0).segments()]
    assert labels == ["hold(5)", "constant(1, 2)", "points([2, 6], [1x, prev / 2])"]


def test_prev_in_an_argument_of_wsd_is_the_rate_before_the_decay():
    written = lrdsl.compile("hold(4) >> constant(0.5x, 4) >> wsd(8, 2, 4, to=prev / 4)", base_lr=1.0)
    meant = "hold(4) >> constant(0.5x, 4) >> warmup(2) >> hold(2) >> linear(4, to=prev / 4)"
    assert written.program() == lrdsl.compile(meant, base_lr=1.0).program()
    assert written.segments()[-1].label == "linear(4, to=0.25)"


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("points([2, 4, 8], [prev, 1x, prev / 2])", [1, 1, 1, 1, 1, 0.75, 0.5], [0.5, 0.5, 0.5, 0.75, 1, 0.625, 0.25]),
        (
            "onecycle(8, prev, 0.5, 0, 0, linear)",
            [0, 1 / 3, 2 / 3, 1, 0.75, 0.25, 0],
            [0, 1 / 6, 1 / 3, 0.5, 0.375, 0.125, 0],
        ),
        (
            "cyclic(4, to=0.25)",
            [1, 0.8125, 0.625, 0.4375, 0.25, 0.625, 1],
            [0.5, 0.4375, 0.375, 0.3125, 0.25, 0.375, 0.5],
        ),
        ("range_test(4)", [1, 1.25, 1.5, 1.75, 2, 2.5, 3], [0.5, 0.625, 0.75, 0.875, 1, 1.25, 1.5]),
        ("tanh(8, lb=-300, ub=300)", [1, 1, 1, 1, 0.5, 0, 0], [0.5, 0.5, 0.5, 0.5, 0.25, 0, 0]),
        (
            "cyclic(4, to=0, gain=0.5)",
            [1, 0.75, 0.5, 0.25, 0, 0.5, 1],
            [0.5, 0.375, 0.25, 0.125, 0, 0.25, 0.5],
        ),
    ],
)
def test_behind_a_plateau(text, before, after):
    """`prev` is known only when asked: half of what it was after one cut."""
    schedule = lrdsl.compile(f"(hold(2) | plateau(0, 0.5)) >> {text}", base_lr=1.0)
    steps = [2, 3, 4, 5, 6, 8, 10]
    assert schedule.lrs(steps) == pytest.approx(before, rel=1e-15, abs=1e-30)
    schedule.observe(1.0, step=1)
    schedule.observe(1.0, step=1)
    assert schedule.lrs(steps) == pytest.approx(after, rel=1e-15, abs=1e-30)


@pytest.mark.parametrize(
    "text",
    ["linear(9) >> points([0, 5], [0, 0])", "linear(9) >> onecycle(9, peak=0)", "linear(9) >> cyclic(3, to=0)"],
)
def test_what_names_its_own_rates_may_stay_at_0(text):
    assert lrdsl.compile(text, base_lr=1.0).lr(12) == 0.0
