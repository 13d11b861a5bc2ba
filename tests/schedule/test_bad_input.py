"""Whatever is passed as text, context or step: a result or a short `ScheduleError`; a TypeError for what is no text."""

from fractions import Fraction

import numpy as np
import pytest

import lrdsl
from lrdsl import ScheduleError

HUGE = 10 ** (10**5)  # more digits than Python prints


class Equal(str):
    """A text that says it equals every other."""

    def __eq__(self, other):
        return True

    def __hash__(self):
        return hash("cosine(5)")


CONTEXTS = {
    "params-huge": {"params": {"a": HUGE}},
    "params-huge-fraction": {"params": {"a": Fraction(HUGE, 3)}},
    "params-text": {"params": {"a": "5"}},
    "params-name-huge": {"params": {HUGE: 1}},
    "params-name-long": {"params": {"a" * 10**6: 1}},
    "params-name-surrogate": {"params": {"\ud800": 1}},
    "params-list": {"params": [1, 2]},
    "params-string": {"params": "ab"},
    "total-huge": {"total_steps": HUGE},
    "total-negative": {"total_steps": -HUGE},
    "total-fraction": {"total_steps": 1.5},
    "total-text": {"total_steps": "x" * 10**6},
    "total-zero": {"total_steps": 0},
    "epoch-huge": {"steps_per_epoch": HUGE},
    "epoch-negative": {"steps_per_epoch": -Fraction(HUGE, 7)},
    "tokens-nan": {"tokens_per_step": float("nan")},
    "base-huge": {"base_lr": HUGE},
    "base-fraction": {"base_lr": -Fraction(10**5000, 3)},
    "base-array": {"base_lr": np.ones(10**5)},
    "bases-name-long": {"bases": {"z" * 10**6: 1}},
    "bases-name-huge": {"bases": {HUGE: 1}},
    "bases-bytes": {"bases": {b"lr[0]": 1}},
    "bases-text": {"bases": {"weight_decay": "x" * 10**6}},
    "bases-list": {"bases": ["weight_decay"]},
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_a_context_that_is_none(name):
    with pytest.raises(ScheduleError) as caught:
        lrdsl.compile("hold()", **{"base_lr": 1e-3, **CONTEXTS[name]})
    assert caught.value.code == "E0402" and len(str(caught.value)) < 250


@pytest.mark.parametrize("text", [None, b"hold()", bytearray(b"hold()"), ["hold()"], 1j, True, object()], ids=type)
def test_what_is_no_text(text):
    with pytest.raises(TypeError, match="expected a schedule text or a number, got "):
        lrdsl.compile(text, base_lr=1e-3)


@pytest.mark.parametrize("rate", [HUGE, -HUGE, float("nan"), float("-inf"), Fraction(HUGE, 3)], ids=lambda _: "rate")
def test_a_number_that_is_no_rate(rate):
    with pytest.raises(ScheduleError) as caught:
        lrdsl.compile(rate, base_lr=1e-3)
    assert caught.value.code == "E0402" and len(str(caught.value)) < 250


def test_a_text_of_another_class_is_read_for_what_it_holds():
    assert lrdsl.compile("cosine(5)", base_lr=1.0).length == 5
    assert lrdsl.compile(Equal("cosine(7)"), base_lr=1.0).length == 7
    assert lrdsl.compile("cosine(5)", base_lr=1.0).length == 5


@pytest.mark.parametrize("text", ["1" * 10**6, "constant(" + "1" * 60_000 + ")", "constant(1e" + "9" * 60_000 + ")"])
def test_long_numbers_in_a_text(text):
    with pytest.raises(ScheduleError) as caught:
        lrdsl.compile(text, base_lr=1e-3)
    assert caught.value.code in ("E0903", "E0904") and len(str(caught.value)) < 1500


@pytest.mark.parametrize("step", [HUGE, -HUGE, "x" * 10**3, 1.5, float("nan"), None], ids=lambda _: "step")
def test_what_is_no_step(step):
    schedule = lrdsl.compile("cosine(5)", base_lr=1e-3)
    with pytest.raises(ScheduleError) as caught:
        schedule.lr(step)
    assert caught.value.code == "E0801" and len(str(caught.value)) < 250


def test_a_report_beyond_doubles_is_not_finite():
    schedule = lrdsl.compile("hold() | plateau(0, 0.5)", base_lr=1.0)
    schedule.observe(HUGE)
    assert schedule.lr(1) == 0.5


@pytest.mark.parametrize(("key", "value"), [("context", {"base_lr": 1.0, "x": None}), ("modifiers", {"lr": HUGE})])
def test_a_state_that_is_none(key, value):
    schedule = lrdsl.compile("hold() | plateau()", base_lr=1.0)
    with pytest.raises(ValueError, match=r"expected|different"):
        schedule.load_state_dict({**schedule.state_dict(), key: value})


@pytest.mark.parametrize(
    "text", ["wsd(10, 2, 2, to=1e300 * (1e300 * base))", "points([0, 5], [1e300 * (1e300 * base), 1])"]
)
def test_a_rate_that_overflows_in_a_segment_of_segments(text):
    with pytest.raises(ScheduleError, match="E0610"):
        lrdsl.compile(text, base_lr=1.0)
