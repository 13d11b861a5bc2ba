"""Reports, and the state that survives a restart."""

import copy
import json

import pytest

import lrdsl
from lrdsl import ScheduleError

TEXT = "lr = hold() | plateau(0, 0.5); lr[head] = hold() | plateau(1, 0.5, metric=acc, mode=max)"
CONTEXT = {"base_lr": 1.0, "total_steps": 100, "params": {"k": 2.0}, "bases": {"lr[head]": 4.0}}


def observed():
    schedule = lrdsl.compile(TEXT, **CONTEXT)
    for loss in (1.0, 1.0, 0.5):
        schedule.observe(loss)
    schedule.observe(0.9, "acc")
    return schedule


def code_of(call):
    with pytest.raises(ScheduleError) as caught:
        call()
    return caught.value.code


def test_the_first_report_is_made_before_update_1():
    schedule = lrdsl.compile("hold(2) | plateau(0, 0.5)", base_lr=1.0)
    schedule.observe(1.0)
    assert schedule.state_dict()["observed"] == {"loss": 1}
    schedule.observe(1.0)  # before update 2: out of the scope
    assert schedule.state_dict()["observed"] == {"loss": 2}
    assert schedule.lr(0) == 1.0


def test_the_default_step_follows_the_last_one_of_that_metric():
    schedule = observed()
    schedule.observe(0.8, "acc", step=10)
    schedule.observe(0.8, "acc")
    schedule.observe(0.1)
    assert schedule.state_dict()["observed"] == {"loss": 4, "acc": 11}


def test_several_reports_before_one_update_all_count():
    schedule = lrdsl.compile("hold() | plateau(0, 0.5)", base_lr=1.0)
    for _ in range(3):
        schedule.observe(1.0, step=1)
    assert schedule.lr(1) == 0.25


def test_metrics():
    schedule = observed()
    assert schedule.metrics == ("loss", "acc")
    with pytest.raises(ScheduleError) as caught:
        schedule.observe(1.0, "lss")
    assert (caught.value.code, caught.value.hint) == ("E0209", "it listens to: loss, acc")
    assert code_of(lambda: lrdsl.compile("hold()", base_lr=1.0).observe(1.0)) == "E0209"


@pytest.mark.parametrize("step", [-1, 1.5, True, "1", 2**63])
def test_a_report_before_what_is_no_step(step):
    schedule = observed()
    before = schedule.state_dict()
    assert code_of(lambda: schedule.observe(1.0, step=step)) == "E0801"
    assert schedule.state_dict() == before


@pytest.mark.parametrize("value", ["low", None, [1.0]])
def test_a_report_that_is_no_number(value):
    schedule = observed()
    before = schedule.state_dict()
    with pytest.raises((TypeError, ValueError)):
        schedule.observe(value)
    assert schedule.state_dict() == before


def test_the_state_is_plain():
    assert observed().state_dict() == {
        "language": 1,
        "text": str(lrdsl.compile(TEXT, **CONTEXT)),
        "context": {"base_lr": 1.0, "total_steps": 100, "param k": 2.0, "base lr[head]": 4.0},
        "modifiers": {
            "lr": dict(zip(SLOTS, [0.0, 0.0, 0.5, 1.0, 0.0, 0.0, 1.0], strict=True)),
            "lr[head]": dict(zip(SLOTS, [0.0, 0.0, 0.9, 1.0, 0.0, 0.0, 0.0], strict=True)),
        },
        "observed": {"loss": 3, "acc": 1},
    }
    assert lrdsl.compile("hold()", base_lr=1).state_dict()["modifiers"] == {}


SLOTS = [f"plateau.{slot}" for slot in ("sum", "count", "best", "seen", "bad", "cool", "cuts")]


def test_a_round_trip_through_json():
    schedule, other = observed(), lrdsl.compile(TEXT, **CONTEXT)
    other.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    assert other.state_dict() == schedule.state_dict()
    for one in (schedule, other):
        one.observe(2.0)
    assert schedule.lr(5) == other.lr(5) == 0.25


def test_another_spelling_of_the_same_text_is_the_same():
    other = lrdsl.compile(
        "lr=hold()|plateau(0,0.5) ;lr[ head ] = (hold()) | plateau(1, 0.5, metric=acc, mode=max) # x", **CONTEXT
    )
    other.load_state_dict(observed().state_dict())
    assert other.lr(5) == 0.5


@pytest.mark.parametrize(
    "other",
    [
        lambda: lrdsl.compile(TEXT.replace("0.5", "0.6"), **CONTEXT),
        lambda: lrdsl.compile(TEXT, **{**CONTEXT, "total_steps": 101}),
        lambda: lrdsl.compile(TEXT, **{**CONTEXT, "base_lr": 2.0}),
        lambda: lrdsl.compile(TEXT, **{**CONTEXT, "bases": {}}),
        lambda: lrdsl.compile(TEXT, **{**CONTEXT, "params": {"k": 3.0}}),
    ],
    ids=["text", "total", "base", "bases", "params"],
)
def test_a_different_schedule_is_refused_or_starts_afresh(other):
    other = other()
    other.observe(1.0)
    other.observe(1.0)
    before = other.state_dict()
    assert code_of(lambda: other.load_state_dict(observed().state_dict())) == "E0802"
    assert other.state_dict() == before
    other.load_state_dict(observed().state_dict(), reschedule=True)
    assert other.state_dict()["observed"] == {}
    assert other.state_dict()["modifiers"]["lr"]["plateau.cuts"] == 0.0


def without(key):
    return lambda state: state.pop(key)


def changed(*keys, to):
    def change(state):
        for key in keys[:-1]:
            state = state[key]
        state[keys[-1]] = to

    return change


@pytest.mark.parametrize(
    "break_it",
    [
        without("text"),
        without("modifiers"),
        changed("more", to=1),
        changed("language", to=2),
        changed("text", to=5),
        changed("context", to=None),
        changed("modifiers", to=None),
        changed("modifiers", to={}),
        changed("modifiers", "eps", to={}),
        changed("modifiers", "lr", to=5),
        changed("modifiers", "lr", to={}),
        changed("modifiers", "lr[head]", "plateau.best", to="low"),
        changed("modifiers", "lr[head]", "plateau.best", to=None),
        changed("modifiers", "lr[head]", "plateau.cuts", to=True),
        changed("modifiers", "lr", "plateau.more", to=1.0),
        changed("observed", to=None),
        changed("observed", to=5),
        changed("observed", "lss", to=1),
        changed("observed", "loss", to=-1),
        changed("observed", "loss", to=1.5),
        changed("observed", "loss", to=2**80),
    ],
)
def test_a_broken_state_is_refused_and_changes_nothing(break_it):
    state = copy.deepcopy(observed().state_dict())
    break_it(state)
    schedule = observed()
    schedule.observe(0.1)
    before = schedule.state_dict()
    with pytest.raises(ValueError):
        schedule.load_state_dict(state)
    assert schedule.state_dict() == before


@pytest.mark.parametrize("state", [None, 5, {}, [], "state"])
def test_what_is_no_state(state):
    with pytest.raises(ValueError, match="expected a schedule state"):
        observed().load_state_dict(state)


def test_the_group_named_0_and_the_first_do_not_share_their_state():
    text = 'lr["0"] = hold() | plateau(0, 0.5); lr[0] = hold() | plateau(5, 0.5)'
    schedule, other = (lrdsl.compile(text, base_lr=1.0) for _ in range(2))
    schedule.observe(1.0)
    schedule.observe(1.0)
    other.load_state_dict(schedule.state_dict())
    assert (other.value("lr", 1, "0"), other.value("lr", 1, 0)) == (0.5, 1.0)
