"""What a text is bound to."""

import math
from fractions import Fraction

import numpy as np
import pytest

import lrdsl
from lrdsl import ScheduleError


def error_of(text="linear(10)", **context):
    with pytest.raises(ScheduleError) as caught:
        lrdsl.compile(text, **{"base_lr": 1.0, **context})
    return caught.value


@pytest.mark.parametrize(
    ("context", "said"),
    [
        ({"base_lr": -1}, "expected base_lr to be >= 0, got -1"),
        ({"base_lr": math.nan}, "expected base_lr to be a finite number, got nan"),
        ({"base_lr": math.inf}, "expected base_lr to be a finite number, got inf"),
        ({"base_lr": "0.1"}, "expected base_lr to be a finite number, got '0.1'"),
        ({"base_lr": True}, "expected base_lr to be a finite number, got True"),
        ({"total_steps": 0}, "expected total_steps to be a whole number >= 1, got 0"),
        ({"total_steps": -5}, "expected total_steps to be a whole number >= 1, got -5"),
        ({"total_steps": 100.0}, "expected total_steps to be a whole number >= 1, got 100.0"),
        ({"total_steps": True}, "expected total_steps to be a whole number >= 1, got True"),
        (
            {"total_steps": 2**53},
            "expected total_steps to be a whole number >= 1 and below 2**53, got 9007199254740992",
        ),
        ({"steps_per_epoch": 0}, "expected steps_per_epoch to be a number > 0, got 0"),
        ({"tokens_per_step": -1.0}, "expected tokens_per_step to be a number > 0, got -1.0"),
        ({"samples_per_step": math.nan}, "expected samples_per_step to be a number > 0, got nan"),
        ({"samples_per_step": "256"}, "expected samples_per_step to be a number > 0, got '256'"),
        ({"params": {"k": math.inf}}, "expected params['k'] to be a finite number, got inf"),
        ({"params": {"k": "5"}}, "expected params['k'] to be a finite number, got '5'"),
        ({"bases": {"weight_decay": -0.1}}, "expected bases['weight_decay'] to be >= 0, got -0.1"),
        ({"bases": {"momentum": None}}, "expected bases['momentum'] to be a finite number, got None"),
        (
            {"bases": {"wd": 0.1}},
            "expected bases to name targets, as in `weight_decay` or `lr[head]`, got 'wd'",
        ),
    ],
)
def test_bad_values(context, said):
    error = error_of(**context)
    assert (error.code, error.message, error.span) == ("E0402", said, None)


def test_base_lr_must_be_given():
    with pytest.raises(TypeError):
        lrdsl.compile("hold()")


@pytest.mark.parametrize(
    ("text", "keyword"),
    [
        ("linear(total)", "total_steps"),
        ("linear(rest)", "total_steps"),
        ("linear(10%)", "total_steps"),
        ("expr(total * base)", "total_steps"),
        ("linear(3ep)", "steps_per_epoch"),
        ("linear(2Btok)", "tokens_per_step"),
        ("linear(256_000smp)", "samples_per_step"),
    ],
)
def test_what_a_unit_needs(text, keyword):
    error = error_of(text)
    assert error.code == "E0401" and keyword in error.message and error.text == text
    assert text[slice(*error.span)] in ("total", "rest", "10%", "3ep", "2Btok", "256_000smp")
    assert lrdsl.compile(text, base_lr=1.0, **{keyword: 1024}).lr(0) > 0


def test_units_are_exact():
    schedule = lrdsl.compile("linear(0.1ep) >> linear(0.2ep, from=1x)", base_lr=1.0, steps_per_epoch=30)
    assert [row.end for row in schedule.segments()] == [3, 9]
    third = lrdsl.compile("hold(3ep) >> hold(1)", base_lr=1.0, steps_per_epoch=Fraction(1, 3))
    assert [row.end for row in third.segments()] == [1, 2]


def test_numpy_numbers_are_numbers():
    schedule = lrdsl.compile(
        "linear(10%, to=k * base)", base_lr=np.float64(0.5), total_steps=np.int32(40), params={"k": np.float64(0.5)}
    )
    assert [schedule.lr(step) for step in (0, 2, 4)] == [0.5, 0.375, 0.25]
    assert {type(value) for value in schedule.context.values()} <= {int, float}


@pytest.mark.parametrize("name", ["t", "base", "cosine", "plateau", "max", "sin", "lr", "pi", "total"])
def test_params_shadow_nothing(name):
    assert error_of(params={name: 1.0}).code == "E0210"


def test_a_let_does_not_shadow_a_param():
    assert error_of("let k = 1; constant(k)", params={"k": 2.0}).code == "E0211"


def test_params_are_plain_numbers():
    schedule = lrdsl.compile("linear(k) >> constant(k * base) | scale(k / 10)", base_lr=0.5, params={"k": 10})
    assert (schedule.length, schedule.lr(10)) == (math.inf, 5.0)
    assert error_of("linear(k)", params={"k": 2.5}).code == "E0405"


def test_the_missing_base_of_a_target():
    error = error_of("weight_decay = linear(10)")
    assert (error.code, error.hint) == ("E0401", 'pass `bases={"weight_decay": ...}`')
    error = error_of("weight_decay[head] = linear(10)")
    assert error.hint == 'pass `bases={"weight_decay[head]": ...}`'
    found = lrdsl.compile("weight_decay[head] = linear(10)", base_lr=1.0, bases={"weight_decay": 0.5})
    assert found.value("weight_decay", 0, "head") == 0.5


def test_base_0_is_fine_but_not_for_products():
    assert lrdsl.compile("warmup(5) >> cosine(10)", base_lr=0).lr(5) == 0.0
    assert error_of("linear(5) * linear(5)", base_lr=0).code == "E0511"


def test_a_schedule_keeps_its_context():
    params = {"k": 0.5}
    schedule = lrdsl.compile("constant(k)", base_lr=1.0, params=params)
    params["k"] = 2.0
    assert schedule.context == {"base_lr": 1.0, "param k": 0.5}


def test_a_group_starts_from_its_own_base():
    bases = {"lr[head]": 2.0, 'lr["0"]': 3.0, "lr[0]": 4.0, "lr[²]": 5.0, "weight_decay[head]": 0.5}
    found = lrdsl.compile("linear(4)", base_lr=1.0, bases=bases)
    assert {group: found.value("lr", 2, group) for group in (None, "head", "0", 0, "²", "tail")} == {
        None: 0.5, "head": 1.0, "0": 1.5, 0: 2.0, "²": 2.5, "tail": 0.5
    }  # fmt: skip
    assert found.targets == ("lr",)
    both = lrdsl.compile("lr = linear(4); lr[head] = hold()", base_lr=1.0, bases=bases)
    assert (both.value("lr", 2, "head"), both.value("lr", 2, 0)) == (2.0, 2.0)


def test_as_many_groups_as_there_are():
    found = lrdsl.compile("warmup(4) >> cosine(8)", base_lr=1.0, bases={f"lr[{i}]": float(i) for i in range(3000)})
    assert found.value("lr", 4, 2999) == 2999.0


def test_what_is_wrong_for_one_group_only_is_told():
    with pytest.raises(lrdsl.ScheduleError, match="E0609: `lr` is negative") as caught:
        lrdsl.compile("hold() - 0.5", base_lr=1.0, bases={"lr[head]": 0.25})
    assert caught.value.text == "hold() - 0.5"
