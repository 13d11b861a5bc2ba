"""What a text means, and what is wrong with it: every code, every message, every text of the specification.

The messages themselves are the files that ``test_messages.py`` compares; here is who must have some, and those that
no text shows in the common context.
"""

from collections import Counter
from pathlib import Path

import pytest

import lrdsl
from lrdsl.errors import CODES, ScheduleError
from tests.language.corpus import ACCEPTED, CONTEXT, REJECTED

FOLDER = Path(__file__).parents[1] / "golden" / "errors"
WRONG = [(code, text) for code, texts in REJECTED.items() for text in texts]


@pytest.mark.parametrize("text", ACCEPTED)
def test_accepted_and_stable(text):
    schedule = lrdsl.compile(text, **CONTEXT)
    again = lrdsl.compile(str(schedule), **CONTEXT)
    assert str(again) == str(schedule)
    assert {key: track.program for key, track in again.tracks.items()} == {
        key: track.program for key, track in schedule.tracks.items()
    }


@pytest.mark.parametrize(("code", "text"), WRONG)
def test_rejected(code, text):
    with pytest.raises(ScheduleError) as caught:
        lrdsl.compile(text, **CONTEXT)
    error = caught.value
    assert (error.code, error.text) == (code, text)
    assert error.span is not None and 0 <= error.span[0] <= error.span[1] <= len(text)


def test_every_semantic_code_has_two_messages():
    count = Counter(path.name.split("-")[0] for path in FOLDER.rglob("*.txt"))
    semantic = [code for code in CODES if "E0110" < code < "E0900" or code in ("E0902", "E0907")]
    assert {code: count[code] for code in semantic if count[code] < 2} == {}


def schedule(text="hold() | plateau()", **context):
    return lrdsl.compile(text, **{"base_lr": 1e-3, **context})


CALLS = {
    "E0209-metric": lambda: schedule().observe(0.5, "lss"),
    "E0209-none": lambda: schedule("hold()").observe(0.5),
    "E0210-param": lambda: schedule(params={"total": 5}),
    "E0401-epochs": lambda: schedule("cosine(3ep)"),
    "E0401-tokens": lambda: schedule("warmup(500) >> cosine(until=2Btok)"),
    "E0401-samples": lambda: schedule("cosine(256_000smp)"),
    "E0401-share": lambda: schedule("warmup(2%) >> hold()"),
    "E0401-rest": lambda: schedule("warmup(500) >> cosine(rest)"),
    "E0401-total": lambda: schedule("cosine(total)"),
    "E0401-total-formula": lambda: schedule("expr(base * t / total)"),
    "E0402-total": lambda: schedule(total_steps=0),
    "E0402-large-total": lambda: schedule(total_steps=2**60),
    "E0402-base": lambda: schedule(base_lr=-1e-3),
    "E0402-epoch": lambda: schedule(steps_per_epoch="100"),
    "E0402-param": lambda: schedule(params={"k": float("nan")}),
    "E0402-bases": lambda: schedule(bases={"weight-decay": 0.1}),
    "E0511-product": lambda: schedule("warmup(5) * cosine(10)", base_lr=0),
    "E0511-target": lambda: schedule("beta1 = linear(5) * cosine(10)", bases={"beta1": 0}),
    "E0607-number": lambda: schedule(-0.1),
    "E0801-negative": lambda: schedule().lr(-1),
    "E0801-fraction": lambda: schedule().lr(0.5),
    "E0801-many": lambda: schedule().lrs([0.5, 1.0]),
    "E0802-text": lambda: schedule().load_state_dict(schedule("hold()").state_dict()),
    "E0802-context": lambda: schedule().load_state_dict(schedule(base_lr=1).state_dict()),
    "E0803-target": lambda: schedule().value("learning_rate", 0),
    "E0803-no-base": lambda: schedule().value("weight_decay", 0),
    "E0803-program": lambda: schedule().program("eps"),
    "E0802-metric": lambda: schedule().load_state_dict(schedule("hold() | plateau(metric=acc)").state_dict()),
    "E0904-characters": lambda: schedule("hold()" + " " * 65536),
    "E0904-comment": lambda: schedule("hold() # " + "why " * 20000),
    "E0905-groups": lambda: schedule("; ".join(f"lr[{i}] = cosine(1000)" for i in range(300))),
    "E0905-lets": lambda: schedule("".join(f"let a{i} = {i}; " for i in range(300)) + "hold()"),
    "E0906-list": lambda: schedule(f"multistep({list(range(2000))})"),
    "E0906-arguments": lambda: schedule(f"max({', '.join(['hold()'] * 1100)})"),
    "E0401-cooldown": lambda: schedule("hold() | cooldown(100)"),
    "E0907-code": lambda: schedule("max(" + ", ".join(f"cosine({n})" for n in range(1, 50)) + ")"),
    "E0907-milestones": lambda: schedule(f"multistep({list(range(1024))})"),
}


@pytest.mark.parametrize("name", CALLS)
def test_message_of_a_call(name, golden):
    with pytest.raises(ScheduleError) as caught:
        CALLS[name]()
    error = caught.value
    assert error.code == name.split("-")[0]
    assert not error.message.endswith(".") and "\n" not in f"{error.message}{error.hint}"
    golden(FOLDER / "calls" / f"{name}.txt", f"{error}\n")


def test_every_call_has_its_file():
    assert {path.stem for path in (FOLDER / "calls").glob("*.txt")} == set(CALLS)


@pytest.mark.parametrize(
    ("text", "context", "place"),
    [
        ("cosine(10, to=10%)", CONTEXT, "10%"),
        ("let w = 10%;\ncosine(10, to=w)", CONTEXT, "w"),
        ("warmup(5) >>\n  cosine(10, mim=0)", CONTEXT, "mim=0"),
        ("lr = hold(); weight_decay = 0.5 * cosin(10)", CONTEXT, "cosin"),
        ("hold() >> # for ever\ncosine(10)", CONTEXT, "hold()"),
        ("let é = 5; cosine(10)", CONTEXT, "é"),
    ],
)
def test_the_span_is_what_is_wrong(text, context, place):
    with pytest.raises(ScheduleError) as caught:
        lrdsl.compile(text, **context)
    assert text[slice(*caught.value.span)] == place
