"""Fields of pydantic models that hold schedules."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest

from tests.frameworks.installed import need
from tests.frameworks.pasting import paste
from tests.frameworks.test_places import TEXTS

pydantic = need("pydantic")

import lrdsl  # noqa: E402
from lrdsl.integrations.pydantic import Checked, ScheduleText  # noqa: E402


class Config(pydantic.BaseModel):
    schedule: ScheduleText = "hold()"


class Informed(pydantic.BaseModel):
    schedule: Annotated[str, Checked(total_steps=1000, params={"w": 500})]


@pytest.mark.works("pydantic", "a field is checked when the config is read, with carets")
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_good_texts_stay_as_they_are(text: str) -> None:
    found = Config(schedule=text)
    assert found.schedule == text and type(found.schedule) is str
    assert Config.model_validate_json(found.model_dump_json()) == found
    assert found.model_dump() == {"schedule": text}


@pytest.mark.works("pydantic", "a field is checked when the config is read, with carets")
@pytest.mark.parametrize(
    "text",
    [
        "warmup(500) >> cosin(10000)",
        "warmup(5",
        "",
        "hold(5) >> {braces}",
        "warmup(5) >> constant",
        "hold() | plateau(factor=2)",
        "1e-3",
    ],
)
def test_a_wrong_text_says_what_a_direct_call_says(text: str) -> None:
    with pytest.raises(lrdsl.ScheduleError) as wanted:
        lrdsl.compile(text, base_lr=1.0)
    with pytest.raises(pydantic.ValidationError) as caught:
        Config(schedule=text)
    (error,) = caught.value.errors()
    assert (error["type"], error["loc"], error["msg"]) == (wanted.value.code, ("schedule",), str(wanted.value))
    assert str(wanted.value) in str(caught.value)


@pytest.mark.works("pydantic", "numbers are constant rates")
@pytest.mark.parametrize(("number", "rate"), [(0.001, 0.001), (1, 1.0), (0, 0.0)])
def test_numbers(number: float, rate: float) -> None:
    for found in (Config(schedule=number), Config.model_validate_json(json.dumps({"schedule": number}))):
        assert lrdsl.compile(found.schedule, base_lr=5.0).lr(3) == rate


@pytest.mark.parametrize("value", [True, None, ["hold()"], b"hold()"])
def test_what_is_neither(value: Any) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        Config(schedule=value)
    (error,) = caught.value.errors()
    assert error["msg"] == f"expected a schedule text or a number, got {type(value).__name__}"


@pytest.mark.parametrize(("number", "code"), [(float("nan"), "E0402"), (-0.5, "E0607")])
def test_numbers_that_are_no_rate(number: float, code: str) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        Config(schedule=number)
    assert caught.value.errors()[0]["type"] == code


def test_what_only_the_run_knows_is_left_to_it() -> None:
    text = "warmup(2%) >> hold(3ep) >> cosine(rest)"
    assert Config(schedule=text).schedule == text
    with pytest.raises(pydantic.ValidationError) as caught:
        Config(schedule=f"{text} | plateau(patienc=3)")  # the rest is checked all the same
    assert caught.value.errors()[0]["type"] == "E0202"


def test_what_the_model_knows_is_used() -> None:
    assert Informed(schedule="warmup(w) >> cosine(rest)").schedule == "warmup(w) >> cosine(rest)"
    with pytest.raises(pydantic.ValidationError, match="E0409"):
        Informed(schedule="warmup(total) >> hold(rest) >> cosine(w)")
    with pytest.raises(pydantic.ValidationError, match="E0201"):
        Informed(schedule="warmup(v) >> cosine(rest)")


@pytest.mark.works("pydantic", "JSON schema with `format: lrdsl`")
def test_json_schema() -> None:
    assert Config.model_json_schema()["properties"]["schedule"] == {
        "default": "hold()",
        "format": "lrdsl",
        "title": "Schedule",
        "type": ["string", "number"],
    }
    assert Config.model_json_schema(mode="serialization")["properties"]["schedule"]["type"] == "string"


def test_the_page() -> None:
    torch = need("torch")
    given = '{"lr": 0.5, "schedule": "warmup(10) >> linear(rest)", "total_steps": 110}'
    opt = paste("pydantic.md", model=torch.nn.Linear(2, 1), given=given)["opt"]
    assert [opt.schedules[0].lr(step) for step in (5, 10, 60)] == [0.25, 0.5, 0.25]
    with pytest.raises(pydantic.ValidationError, match="unknown function `liner`"):
        paste("pydantic.md", model=torch.nn.Linear(2, 1), given=given.replace("linear", "liner"))
