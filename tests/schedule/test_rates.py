"""`Schedule.lr`, `lrs`, `value`: one number, many numbers, any target."""

import copy
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest

import lrdsl
from lrdsl import ScheduleError
from tests.cases import CASES


def code_of(call):
    with pytest.raises(ScheduleError) as caught:
        call()
    return caught.value.code


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_many_steps_at_once_give_the_same_bits(case):
    schedule = case.compile()
    steps = [*case.expected, 0, 1, 2**52, 2**53 - 1]
    got = schedule.lrs(steps)
    assert got.dtype == np.float64 and got.shape == (len(steps),)
    assert got.tobytes() == np.array([schedule.lr(step) for step in steps]).tobytes()


@pytest.mark.parametrize(
    "steps",
    [[0, 3, 3, 1], (0, 3), range(5), iter([1, 2]), {4}, np.arange(5, dtype=np.uint8), np.arange(10)[::2], []],
    ids=lambda steps: type(steps).__name__,
)
def test_any_iterable_of_whole_steps(steps):
    schedule = lrdsl.compile("linear(4)", base_lr=1.0)
    listed = list(steps) if not hasattr(steps, "__next__") else [1, 2]
    assert schedule.lrs(steps).tolist() == [max(0.0, 1 - step / 4) for step in listed]


@pytest.mark.parametrize("step", [-1, True, 5.0, "5", None, 2**63, 2**70, np.int64(-1), np.float64(3)])
def test_what_is_no_step(step):
    schedule = lrdsl.compile("linear(4)", base_lr=1.0)
    assert code_of(lambda: schedule.lr(step)) == "E0801"
    assert code_of(lambda: schedule.value("weight_decay", step)) == "E0801"
    assert code_of(lambda: schedule.lrs([step])) == "E0801"


@pytest.mark.parametrize("steps", [[[1]], np.array(1), np.array([1.0]), [True], "12", np.array([2**63], np.uint64)])
def test_what_are_no_steps(steps):
    assert code_of(lambda: lrdsl.compile("linear(4)", base_lr=1.0).lrs(steps)) == "E0801"


def test_asking_changes_nothing():
    schedule = lrdsl.compile("cosine(10) | plateau(0)", base_lr=1.0)
    before = schedule.state_dict()
    schedule.lrs(range(100)), schedule.segments(), schedule.notes, str(schedule)
    assert schedule.state_dict() == before


TEXT = (
    'lr = linear(10); lr[head] = 0.5 * linear(10); lr["a.b"] = constant(7); lr[0] = hold(); weight_decay = linear(10)'
)


def test_targets_and_groups():
    schedule = lrdsl.compile(TEXT, base_lr=1.0, bases={"weight_decay": 0.1, "lr[head]": 4.0, "beta1": 0.9})
    assert schedule.targets == ("lr", "weight_decay")
    found = {group: schedule.value("lr", 5, group) for group in (None, "head", "a.b", 0, 1, "other")}
    assert found == {None: 0.5, "head": 1.0, "a.b": 7.0, 0: 1.0, 1: 0.5, "other": 0.5}
    assert schedule.value("weight_decay", 5) == schedule.value("weight_decay", 5, "head") == 0.05
    assert schedule.value("beta1", 5) == 0.9
    assert schedule.values("beta1", [1, 2]).tolist() == [0.9, 0.9]
    assert schedule.track("lr", "none", "head") is schedule.tracks["lr", "head"]
    assert schedule.track("eps", "head") is None


def test_a_group_without_a_schedule_keeps_its_own_constant():
    schedule = lrdsl.compile("lr[head] = constant(7)", base_lr=1.0, bases={"lr[tail]": 3.0})
    assert [schedule.value("lr", 0, group) for group in ("head", "tail", None, 4)] == [7.0, 3.0, 1.0, 1.0]


def test_the_group_named_0_is_not_the_first():
    schedule = lrdsl.compile('lr["0"] = constant(1); lr[0] = constant(2)', base_lr=1.0)
    assert (schedule.value("lr", 0, "0"), schedule.value("lr", 0, 0)) == (1.0, 2.0)


def test_unknown_targets():
    schedule = lrdsl.compile("linear(10)", base_lr=1.0)
    assert code_of(lambda: schedule.value("lrr", 0)) == "E0803"
    assert code_of(lambda: schedule.value("weight_decay", 0)) == "E0803"
    assert code_of(lambda: schedule.values("weight_decay", [0])) == "E0803"
    assert code_of(lambda: schedule.program("weight_decay")) == "E0803"
    assert code_of(lambda: schedule.segments("weight_decay")) == "E0803"


def test_a_target_that_never_uses_its_base_needs_none():
    schedule = lrdsl.compile("momentum = linear(10, from=0.85, to=0.95) >> constant(0.9)", base_lr=1.0)
    assert schedule.value("momentum", 10) == 0.9


@pytest.mark.parametrize(
    ("text", "rate"),
    [(1, 1.0), (0, 0.0), (0.25, 0.25), (np.float32(0.5), 0.5), (Fraction(1, 4), 0.25), (1e-300, 1e-300)],
)
def test_a_number_is_a_constant(text, rate):
    schedule = lrdsl.compile(text, base_lr=3.0)
    assert schedule.lr(0) == schedule.lr(10**9) == rate
    assert lrdsl.compile(schedule.text, base_lr=3.0).lr(0) == rate


@pytest.mark.parametrize("text", [None, True, b"hold()", ["hold()"]])
def test_what_is_no_text(text):
    with pytest.raises(TypeError, match="expected a schedule text or a number"):
        lrdsl.compile(text, base_lr=1.0)


def test_length_and_segments():
    schedule = lrdsl.compile("warmup(4) >> hold(2) >> linear(4, to=0.5x) >> constant(0.25x, 2)", base_lr=1.0)
    assert schedule.length == 12
    assert [(row.begin, row.end, row.label) for row in schedule.segments()] == [
        (0, 4, "warmup(4)"),
        (4, 6, "hold(2)"),
        (6, 10, "linear(4, to=0.5x)"),
        (10, 12, "constant(0.25x, 2)"),
    ]
    assert [(row.first, row.last, row.out, row.jump) for row in schedule.segments()] == [
        (0.0, 0.75, 1.0, 0.0),
        (1.0, 1.0, 1.0, 0.0),
        (1.0, 0.625, 0.5, 0.0),
        (0.25, 0.25, 0.25, -0.5),
    ]
    endless = lrdsl.compile("linear(4, to=0.5x) >> constant(1)", base_lr=1.0)
    assert endless.length == math.inf
    last = endless.segments()[-1]
    assert (last.begin, last.end, last.jump) == (4, math.inf, 1.0) and math.isnan(last.out)
    assert lrdsl.compile("weight_decay = linear(4, from=1)", base_lr=1.0).length == 0


def test_segments_of_a_combination():
    rows = lrdsl.compile("max(linear(4), 0.25x) >> hold(2)", base_lr=1.0).segments()
    assert [(row.begin, row.end, row.label) for row in rows] == [(0, 4, "max(linear(4), 0.25x)"), (4, 6, "hold(2)")]
    rows = lrdsl.compile("warmup(2) * multistep([4], n=8)", base_lr=1.0).segments()
    assert [(row.begin, row.end) for row in rows] == [(0, 2), (2, 8)]
    assert rows[0].label == "warmup(2) * multistep([4], n=8)"


def test_str_and_repr():
    schedule = lrdsl.compile("warmup( 10_000 )>>cosine(1.5k,min=1e-6) # why", base_lr=1.0)
    assert str(schedule) == "warmup(10000) >> cosine(1500, to=1e-6)"
    assert repr(schedule) == "Schedule('warmup(10000) >> cosine(1500, to=1e-6)', length=11500)"
    assert schedule.text == "warmup( 10_000 )>>cosine(1.5k,min=1e-6) # why"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda schedule: pickle.loads(pickle.dumps(schedule))])
def test_a_copy_has_the_state_and_a_life_of_its_own(copied):
    schedule = lrdsl.compile(
        "warmup(2%) >> cosine(rest) | plateau(0, 0.5, every=2)", base_lr=1e-3, total_steps=100, params={"k": 2}
    )
    for loss in (1.0, 1.0, 1.0, math.nan, 5.0):
        schedule.observe(loss)
    other = copied(schedule)
    assert str(other.state_dict()) == str(schedule.state_dict())
    assert other.lrs(range(120)).tobytes() == schedule.lrs(range(120)).tobytes()
    other.observe(5.0)
    assert other.lr(50) == schedule.lr(50) / 2


def test_a_sum_that_is_nan_is_a_state_like_any_other():
    schedule = lrdsl.compile("hold() | plateau(0, 0.5, every=2)", base_lr=1.0)
    schedule.observe(math.nan)
    other = pickle.loads(pickle.dumps(schedule))
    other.observe(1.0)
    assert (schedule.lr(5), other.lr(5)) == (1.0, 0.5)
