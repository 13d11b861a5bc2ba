"""Random schedules: they compile, print, read back and evaluate to sane rates."""

import re

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import lrdsl
from lrdsl import ScheduleError
from tests.schedule.texts import CONTEXT, ending, texts

BINDS = {"weight_decay": 0.1}


def compiled(text):
    """The schedule; a combination too large for a Program is no counterexample."""
    try:
        return lrdsl.compile(text, **CONTEXT, bases=BINDS)
    except ScheduleError as error:
        assume(error.code != "E0907")
        # A length that rounds to nothing, a start at 0, or a clamp above a rate: rules of their own.
        assume(error.code not in ("E0605", "E0608", "E0406"))
        raise


def packed(schedule):
    return {key: track.program.pack() for key, track in schedule.tracks.items()}


@settings(max_examples=300)
@given(texts)
def test_the_canonical_text_is_the_same_schedule(text):
    schedule = compiled(text)
    again = compiled(str(schedule))
    assert str(again) == str(schedule)
    assert packed(again) == packed(schedule)


@settings(max_examples=150)
@given(texts, st.randoms(use_true_random=False))
def test_blanks_and_comments_mean_nothing(text, rng):
    schedule = compiled(text)
    # Blanks between words stay; those around punctuation may go, and come.
    dense = re.sub(r" *([^\w.\[\] ]+) *", r"\1", text)
    loose = re.sub(
        r"([(),;]|>>|\|)", lambda found: rng.choice([" {} ", "\n{}", "{} # so\n", "{}"]).format(found[0]), text
    )
    assert packed(compiled(dense)) == packed(schedule)
    assert packed(compiled(loose)) == packed(schedule)


@settings(max_examples=300)
@given(texts, st.lists(st.integers(0, 50_000), max_size=20))
def test_rates_are_finite_and_not_negative(text, steps):
    schedule = compiled(text)
    for target, group in schedule.tracks:
        values = schedule.values(target, steps, group)
        assert np.isfinite(values).all() and (values >= 0).all()


@settings(max_examples=150)
@given(texts, st.lists(st.floats(), max_size=40), st.integers(0, 20_000))
def test_reports_never_raise_a_rate(text, reports, step):
    schedule = compiled(text)
    assume(schedule.metrics and "greedy" not in text)
    before = schedule.lr(step)
    for report in reports:
        schedule.observe(report)
    assert 0 <= schedule.lr(step) <= before


@settings(max_examples=100)
@given(ending, ending)
def test_a_sequence_is_its_parts_one_after_another(left, right):
    one, both = compiled(left), compiled(f"({left}) >> ({right})")
    count = len(one.segments())
    assert both.lrs(range(0, int(one.length), 97)).tolist() == one.lrs(range(0, int(one.length), 97)).tolist()
    assert [(row.begin, row.end) for row in both.segments()[:count]] == [(row.begin, row.end) for row in one.segments()]


@settings(max_examples=100)
@given(ending, ending, st.lists(st.integers(0, 30_000), max_size=10))
def test_combinations_are_pointwise(left, right, steps):
    a, b = compiled(left), compiled(right)
    assert compiled(f"({left}) + ({right})").lrs(steps).tolist() == (a.lrs(steps) + b.lrs(steps)).tolist()
    assert compiled(f"max({left}, {right})").lrs(steps).tolist() == np.maximum(a.lrs(steps), b.lrs(steps)).tolist()
