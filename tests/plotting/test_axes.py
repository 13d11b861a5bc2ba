"""Ranges, ticks and how numbers are written on them."""

from __future__ import annotations

import math
import sys

import pytest

from lrdsl.plotting import axes
from lrdsl.plotting.curve import Curve

LARGEST = sys.float_info.max


def line(*values: float, end: int = 100, title: str = "learning rate") -> Curve:
    steps = tuple(i * end // max(1, len(values) - 1) for i in range(len(values)))
    return Curve("text", title, steps, values, ())


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0"), (-0.0, "0"), (1e-3, "1e-3"), (7.5e-4, "7.5e-4"), (0.1, "0.1"), (1.0, "1"), (12.5, "12.5"),
        (1e-6, "1e-6"), (1.02464934e-6, "1.025e-6"), (0.009999999, "1e-2"), (5e5, "5e5"), (math.inf, "inf"),
    ],
)  # fmt: skip
def test_rates_are_written_as_people_write_them(value: float, written: str) -> None:
    assert axes.rate(value) == written


@pytest.mark.parametrize(
    ("value", "written"), [(0, "0"), (500, "500"), (999, "999"), (2500, "2.5k"), (1e6, "1M"), (2.5e9, "2.5B")]
)
def test_steps_are_written_with_suffixes(value: float, written: str) -> None:
    assert axes.steps(value) == written


def test_a_decay_starts_at_zero_and_has_round_ticks() -> None:
    x, y = axes.of([line(1e-3, 1e-6, end=10500)])
    assert (x.low, x.high, x.labels) == (0, 10500, ("0", "2k", "4k", "6k", "8k", "10k"))
    assert (y.low, y.labels) == (0, ("0", "2e-4", "4e-4", "6e-4", "8e-4", "1e-3"))
    assert y.high > 1e-3


def test_a_narrow_range_does_not_include_zero() -> None:
    _, y = axes.of([line(0.85, 0.95)])
    assert 0.8 < y.low < 0.85 < 0.95 < y.high < 1


@pytest.mark.parametrize("value", [0.0, 1e-3, 1.0, -2.0])
def test_a_constant_has_room_and_ticks(value: float) -> None:
    _, y = axes.of([line(value, value)])
    assert y.low <= min(value, 0) < max(value, 0) <= y.high or y.low == value == 0 < y.high
    assert len(y.ticks) >= 3


@pytest.mark.parametrize("span", [1, 2, 3, 7, 10, 99, 1000, 10500, 123456, 10**6, 2**52])
@pytest.mark.parametrize("begin", [0, 17])
def test_step_ticks_are_few_whole_and_inside(begin: int, span: int) -> None:
    axis, _ = axes.of([line(0, 1, end=span)], x_ticks=8)
    assert 2 <= len(axis.ticks) <= 9
    assert all(t == int(t) and axis.low <= t <= axis.high for t in axis.ticks)
    assert len(set(axis.labels)) == len(axis.labels)


@pytest.mark.parametrize("top", [3e-9, 1e-3, 0.7, 1, 42, 123456.0])
def test_rate_ticks_are_different_and_inside(top: float) -> None:
    _, y = axes.of([line(0, top)])
    assert 3 <= len(y.ticks) <= 7
    assert y.ticks[0] == 0
    assert all(float(label) == pytest.approx(tick) for tick, label in zip(y.ticks, y.labels, strict=True))


def test_log_ticks_are_decades() -> None:
    _, y = axes.of([line(1e-3, 1e-6)], log=True)
    assert y.labels == ("1e-6", "1e-5", "1e-4", "1e-3")
    assert y.place(1e-3) - y.place(1e-4) == pytest.approx(y.place(1e-5) - y.place(1e-6))


def test_log_ticks_within_few_decades_have_steps_between() -> None:
    _, y = axes.of([line(1e-3, 2e-5)], log=True)
    assert y.labels == ("2e-5", "5e-5", "1e-4", "2e-4", "5e-4", "1e-3")


def test_log_ticks_within_a_decade_are_linear() -> None:
    _, y = axes.of([line(1e-3, 5e-4)], log=True)
    assert len(y.ticks) >= 3
    assert all(5e-4 / 1.2 < t < 1.2e-3 for t in y.ticks)


def test_a_log_axis_leaves_out_the_few_steps_before_a_zero() -> None:
    steps = (0, 5000, 9990, 9999, 10_000)
    _, y = axes.of([Curve("text", "learning rate", steps, (1e-3, 1e-3, 1e-5, 1e-12, 0.0), ())], log=True)
    assert 8e-6 < y.low < 1e-5
    assert y.place(1e-12) == y.place(0.0) == y.place(-1.0) == 0


def test_a_log_axis_shows_tiny_rates_that_last() -> None:
    _, y = axes.of([line(1e-3, 1e-5, 1e-7, 1e-9, 1e-11)], log=True)
    assert 8e-12 < y.low < 1e-11


def test_a_log_axis_of_zeros_is_drawable() -> None:
    _, y = axes.of([line(0.0, 0.0)], log=True)
    assert 0 < y.low < y.high


def test_what_is_not_a_number_takes_no_part() -> None:
    _, y = axes.of([line(math.nan, 1e-3, math.inf)])
    assert 1e-3 < y.high < 2e-3


def test_axes_hold_every_curve() -> None:
    x, y = axes.of([line(1, 0, end=100), line(3, 0, end=500, title="weight decay")])
    assert (x.high, y.title) == (500, "learning rate / weight decay")
    assert y.high > 3


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("count", [2, 5, 6])
@pytest.mark.parametrize(
    "values",
    [
        (1.75e308, 1.75e308), (LARGEST, LARGEST), (10.0, 1.79e308), (LARGEST, 5e-324), (5e-324, 5e-324),
        (5e-324, 1e-323), (2e-323, 0.0), (1e-310, 1e-309), (-LARGEST, LARGEST), (-LARGEST, -LARGEST), (-5e-324, 5e-324),
    ],
)  # fmt: skip
def test_axes_reach_the_ends_of_the_double_range(values: tuple[float, ...], count: int, log: bool) -> None:
    _, y = axes.of([line(*values)], log=log, y_ticks=count)
    assert -LARGEST <= y.low < y.high <= LARGEST
    assert 1 <= len(y.ticks) <= 2 * count + 2
    assert all(y.low <= tick <= y.high for tick in y.ticks)
    assert all(0 <= y.place(value) <= 1 for value in (*values, *y.ticks, y.low, y.high, 0.0))
    assert (y.place(y.low), y.place(y.high)) == (0, 1)
