"""lrdsl against a second reading of the specification: `tests/reference`, an interpreter in exact and real numbers.

Random texts of the whole language are compared here. `LRDSL_REFERENCE=20000` runs that many instead of a few hundred,
from seed `LRDSL_REFERENCE_FIRST` on; a disagreement names its seed.
"""

import math
import os
from collections import Counter
from pathlib import Path

import pytest

import lrdsl
from tests.cases import CASES
from tests.language.corpus import ACCEPTED, CONTEXT, REJECTED
from tests.reference import InvalidTextError, Schedule
from tests.reference.compare import SAMPLED, agree, same_values
from tests.reference.texts import Sample, sample

COUNT = int(os.environ.get("LRDSL_REFERENCE", "200"))
FIRST = int(os.environ.get("LRDSL_REFERENCE_FIRST", "0"))
PARTS = 4

FOLDER = Path(__file__).parent / "reference"
# What other libraries, articles and recipes write, and small texts that each ask about one rule or one edge of it.
SCHEDULES = (FOLDER / "schedules.txt").read_text(encoding="utf-8").splitlines()
EDGES = (FOLDER / "edges.txt").read_text(encoding="utf-8").splitlines()
LOSSES = [1.0, 0.5, 0.75, 0.75, 8.0, 0.75, math.nan, 0.75, 0.25, math.inf, 2.0, 2.0, 0.125, -0.5, 1.0, 0.0, -1.0]
REPORTS = [(metric, y, step) for step, y in enumerate(LOSSES, 1) for metric in ("loss", "val_loss", "grad_norm")]


@pytest.mark.parametrize("part", range(PARTS))
def test_random_texts(part):
    count = Counter()
    found = []
    for seed in range(FIRST + part, FIRST + COUNT, PARTS):
        one = sample(seed)
        if why := agree(one, count, seed=seed):
            found.append(f"seed {seed}: {why}\n    {one.text}\n    {one.context}")
    assert not found, "\n".join(found)
    # Enough was compared, and little was excused.
    looked_at = sum(count[each] for each in ("valid", "rejected", "too large"))
    assert count["valid"] >= 0.6 * looked_at
    assert count["too large"] <= 0.05 * looked_at
    assert count["ill-conditioned"] <= 0.01 * count["values"]
    assert count["reports"]


@pytest.mark.parametrize("text", [*dict.fromkeys([*ACCEPTED, *SCHEDULES])])
def test_texts_of_the_specification(text):
    total = 10_000 if text in ACCEPTED or text == "exponential(1 / 0.95)" else 1_000_000
    context = CONTEXT | {"total_steps": total, "bases": {"weight_decay": 0.1, "momentum": 0.9}}
    theirs, ours = lrdsl.compile(text, **context), Schedule(text, **context)
    assert same_values(Sample(text, context, REPORTS, list(ours.trees)), theirs, ours, Counter()) is None


def keys_of(text, context):
    try:
        return list(Schedule(text, **context).trees)
    except (InvalidTextError, lrdsl.ScheduleError):
        return []


@pytest.mark.parametrize("part", range(10))
def test_edges(part):
    """Accepted or rejected by both; of the accepted, the same values."""
    context = CONTEXT | {"total_steps": 1001, "bases": {"weight_decay": 0.1, "momentum": 0.9, "beta1": 0.9}}
    for text in EDGES[part::10]:
        why = agree(Sample(text, context, REPORTS, keys_of(text, context)), Counter())
        assert why is None, f"{text}: {why}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_checked_values(case):
    """The reference is checked like lrdsl: by the specification's numbers, closed forms and hand."""
    ours = Schedule(case.text, **case.context)
    got = {step: float(ours.lr(step)) for step in case.expected}
    assert got == pytest.approx(case.expected, rel=max(case.relative, 1e-13), abs=1e-14 * case.context["base_lr"])


@pytest.mark.parametrize(
    "text, reports, expected",
    [
        (
            "hold() | plateau(patience=1, factor=0.5)",
            [1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.8],
            [1e-3, 1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4, 2.5e-4],
        ),
        ("hold() | normscale(1, metric=loss)", [4.0, 0.5, math.nan, 2.0], [2.5e-4, 1e-3, 1e-3, 5e-4]),
    ],
)
def test_checked_reports(text, reports, expected):
    made = [("loss", value, step) for step, value in enumerate(reports, 1)]
    ours = Schedule(text, base_lr=1e-3)
    got = [float(ours.lr(i, made[:i])) for i in range(1, len(made) + 1)]
    assert got == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "text, reports, expected",
    [
        (
            "(cosine(100, to=0.5x) | plateau(patience=0)) >> linear(80)",
            [(1.0, 10), (1.0, 11), (1.0, 120)],
            {0: 1e-4, 50: 7.5e-5, 100: 5e-5, 140: 2.5e-5, 180: 0},
        ),
        (
            "hold() | guard(spike=3, factor=0.1, recover=100)",
            [(1.0, 1), (math.nan, 10)],
            {10: 1e-4, 60: 3.16227766017e-4, 110: 1e-3},
        ),
    ],
)
def test_checked_scopes(text, reports, expected):
    made = [("loss", value, step) for value, step in reports]
    ours = Schedule(text, base_lr=1e-3)
    assert {step: float(ours.lr(step, made)) for step in expected} == pytest.approx(expected, rel=1e-11)


# What is left to lrdsl: the words of a text, its statements and the kinds of its arguments (E01.., E02.., E03..).
MEANT = [(code, text) for code, texts in REJECTED.items() if code[:3] in ("E04", "E06") for text in texts]


@pytest.mark.parametrize("code, text", [each for each in MEANT if each[0] not in SAMPLED])
def test_rejected(code, text):
    with pytest.raises(InvalidTextError) as caught:
        Schedule(text, **CONTEXT)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "text", ["warmup(10) >> cosine(90)", "lr = cosine(90); lr[tail] = hold(); weight_decay = hold()"]
)
@pytest.mark.parametrize("target, group", [("lr", None), ("lr", "head"), ("lr", "tail"), ("weight_decay", "head")])
def test_groups_have_their_own_base(text, target, group):
    context = {"base_lr": 1e-3, "bases": {"weight_decay": 0.1, "lr[head]": 2e-2, "weight_decay[head]": 0.7}}
    theirs, ours = lrdsl.compile(text, **context), Schedule(text, **context)
    named = any(name == target for name, _ in ours.trees)
    expected = ours.value(target, 7, group) if named else ours.base(target, group)()
    assert theirs.value(target, 7, group) == pytest.approx(float(expected), rel=1e-13)
