"""Curves: few points, the schedule's own numbers, and no jump missed."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

import lrdsl
from lrdsl.plotting import curve, sampling

EXAMPLE = "warmup(500) >> cosine(10000, min=1e-6) | plateau(patience=3)"
TEXTS = [
    EXAMPLE,
    "warmup(2%) >> hold(rest) >> linear(10%)",
    "repeat(3, cosine(1000))",
    "warmup(4000) >> inverse_sqrt(4000)",
    "step(777, gamma=0.3)",
    "multistep([100, 101, 5000])",
    "constant(5e-4, n=1) >> constant(1e-4, n=1) >> hold()",
    "repeat(5000, cosine(2))",
    "let w = 5%; warmup(w) >> expr(base * (1 + cospi(u / 50)) / 2, n=total - w)",
    "warmup(10) >> linear(999_990)",
]


def compiled(text: str, **context: object) -> lrdsl.Schedule:
    return lrdsl.compile(text, **{"base_lr": 1e-3, "total_steps": 10_000, **context})  # type: ignore[arg-type]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("text", TEXTS)
def test_points_are_few_and_the_schedules_own(text: str, log: bool) -> None:
    schedule = compiled(text)
    drawn = curve.of(schedule, log=log)
    assert len(drawn.steps) <= 1000
    assert list(drawn.steps) == sorted(set(drawn.steps))
    assert (drawn.steps[0], drawn.steps[-1]) == (0, 10_000)
    assert np.array_equal(np.array(drawn.values), schedule.lrs(drawn.steps))


@pytest.mark.parametrize("text", [t for t in TEXTS if "repeat(5000" not in t])
def test_straight_lines_between_the_points_tell_the_truth(text: str) -> None:
    schedule = compiled(text)
    drawn = curve.of(schedule)
    truth = schedule.lrs(range(10_001))
    error = np.abs(np.interp(np.arange(10_001), drawn.steps, drawn.values) - truth)
    assert error.max() <= 1.5e-3 * truth.max()


@pytest.mark.parametrize("text", TEXTS)
def test_boundaries_and_the_steps_before_them_are_points(text: str) -> None:
    drawn = curve.of(compiled(text))
    assert {s for b in drawn.boundaries for s in (b - 1, b)} <= set(drawn.steps)


@pytest.mark.parametrize("every", [313, 1000, 4999])
def test_jumps_inside_a_segment_are_found(every: int) -> None:
    drawn = curve.of(compiled(f"step({every}, gamma=0.9)"))
    jumps = [b for (a, v), (b, w) in pairwise(zip(drawn.steps, drawn.values, strict=True)) if b == a + 1 and v != w]
    assert jumps == list(range(every, 10_001, every))


def test_a_million_steps_cost_few_evaluations() -> None:
    asked = []
    schedule = compiled("warmup(2%) >> cosine(rest)", total_steps=1_000_000)

    def value(step: int) -> float:
        asked.append(step)
        return schedule.lr(step)

    points = sampling.sample(value, 0, 1_000_000, [20_000])
    assert len(asked) < 3000
    assert len(points) < 300


def test_what_swings_too_fast_is_drawn_as_the_band_it_fills() -> None:
    drawn = curve.of(compiled("repeat(1000000, cosine(7))", total_steps=7_000_000))
    values = np.array(drawn.values[:-1]).reshape(1, -1)
    columns = np.array_split(values[0], 50)
    assert all(c.max() > 9.5e-4 and c.min() < 1e-4 for c in columns)
    assert len(drawn.steps) < 1000
    assert drawn == curve.of(compiled("repeat(1000000, cosine(7))", total_steps=7_000_000))


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("warmup(500) >> cosine(10000)", 10_500),
        ("hold()", 1000),
        ("warmup(100) >> hold()", 1000),
        ("warmup(4000) >> inverse_sqrt(4000)", 8000),
        ("constant(1e-3, n=1)", 1),
    ],
)
def test_extent_without_a_total(text: str, end: int) -> None:
    assert curve.of(compiled(text, total_steps=None)).steps[-1] == end


def test_extent_with_a_total() -> None:
    assert curve.of(compiled("cosine(100)")).steps[-1] == 10_000
    assert curve.of(compiled("cosine(20000)")).steps[-1] == 10_000


def test_a_window_cuts_segments() -> None:
    drawn = curve.of(compiled("warmup(100) >> hold(100) >> linear(100)"), begin=50, end=150)
    assert [(s.begin, s.end, s.label) for s in drawn.parts] == [(50, 100, "warmup(100)"), (100, 150, "hold(100)")]
    assert (drawn.steps[0], drawn.steps[-1], drawn.boundaries) == (50, 150, (100,))


def test_a_window_after_the_end_is_flat() -> None:
    drawn = curve.of(compiled("cosine(100, to=1e-5)"), begin=500, end=600)
    assert drawn.parts == ()
    assert set(drawn.values) == {1e-5}


def test_empty_segments_are_not_drawn() -> None:
    drawn = curve.of(compiled("warmup(0) >> cosine(100)"))
    assert [s.label for s in drawn.parts] == ["cosine(100)"]


def test_the_axis_says_what_is_drawn() -> None:
    schedule = compiled("lr = cosine(9); lr[head] = linear(9); weight_decay = constant(0.1)")
    assert curve.of(schedule).title == "learning rate"
    assert curve.of(schedule, relative=True).title == "learning rate (× base)"
    assert curve.of(schedule, "weight_decay").title == "weight decay"
    head = curve.of(schedule, "lr", "head", end=9)
    assert (head.title, head.parts[0].label) == ("learning rate of head", "linear(9)")


def test_the_main_target_is_lr_if_there_is_one() -> None:
    assert curve.of(compiled("beta1 = linear(9, from=0.8, to=0.9)")).title == "beta1"
    assert curve.of(compiled("beta1 = constant(0.9); lr = cosine(9)")).title == "learning rate"


def test_the_first_group_is_drawn_where_no_target_is_common_to_all() -> None:
    drawn = curve.of(compiled("lr[0] = linear(9); lr[1] = cosine(9)"))
    assert (drawn.title, drawn.parts[0].label) == ("learning rate of 0", "linear(9)")


def test_a_target_that_is_not_scheduled_is_an_error() -> None:
    with pytest.raises(lrdsl.ScheduleError) as caught:
        curve.of(compiled("cosine(9)"), "momentum")
    assert caught.value.code == "E0803"


def test_cuts_that_depend_on_a_metric_are_told() -> None:
    assert curve.of(compiled(EXAMPLE)).note == "cuts depend on the observed loss"
    assert curve.of(compiled("cosine(9)")).note == ""


def test_reports_show_in_the_curve() -> None:
    schedule = compiled("hold() | plateau(patience=0, factor=0.5)", total_steps=10)
    schedule.observe(1.0)
    schedule.observe(2.0)
    assert set(curve.of(schedule).values) == {5e-4}


def test_values_that_are_not_numbers_do_not_disturb_their_neighbours() -> None:
    def value(step: int) -> float:
        return math.nan if 300 <= step < 310 else step / 1000

    steps = [step for step, _ in sampling.sample(value, 0, 1000)]
    assert {299, 300, 309, 310} <= set(steps)
    assert len(steps) < 30
