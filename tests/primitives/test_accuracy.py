"""Every curve and function against its real-number formula, worked out by mpmath with 200 bits.

Errors are counted in ULP of the exact value. `accuracy.py` runs the same at a million points each; what it found is
kept in ``tests/data/accuracy.json``.
"""

import json
from pathlib import Path

import pytest
from mpmath import mp, mpf

import lrdsl
from lrdsl.language.formula import FUNCTIONS
from lrdsl.primitives import MODIFIERS, SEGMENTS
from tests.primitives.accuracy import POINTS, ulps, worst
from tests.primitives.oracle import CURVES, EVERYTHING, POWERS
from tests.primitives.oracle import FUNCTIONS as MEASURED

RECORD = Path(__file__).parents[1] / "data" / "accuracy.json"
SEGMENT_ULPS, POWER_ULPS = 6.0, 2.0


def allowed(name):
    return POWER_ULPS if name in (*POWERS, "pow(x)") else SEGMENT_ULPS


@pytest.mark.parametrize("name", EVERYTHING)
def test_within_a_few_ulps_of_the_formula(name):
    found = worst(EVERYTHING[name], POINTS)
    assert found.ulps <= allowed(name), found


def test_every_formula_is_measured():
    measured = {name.partition("-")[0] for name in CURVES} | {"scale", "clamp"}
    nothing_to_round = {"hold", "constant", "expr", "repeat"}  # `repeat` is `cycle` with an end
    assert set(SEGMENTS) - measured == nothing_to_round
    assert set(MODIFIERS) - measured == {"take", "skip", "sample"}
    exact = {"abs", "ceil", "floor", "mod", "where", "clamp"}
    assert set(FUNCTIONS) - set(MEASURED) == exact


def test_a_million_points_were_measured():
    record = json.loads(RECORD.read_text("utf-8"))
    assert record["points"] >= 10**6
    assert {name: row["ulps"] for name, row in record["worst"].items() if not row["ulps"] <= allowed(name)} == {}
    assert set(record["worst"]) == set(EVERYTHING)


def test_a_year_of_updates_keeps_its_digits():
    schedule = lrdsl.compile("exponential(0.99999999, every=3)", base_lr=0.3)
    with mp.workprec(200):
        for t in (1, 10**3, 10**6, 10**9):
            assert ulps(schedule.lr(t), 0.3 * mpf(0.99999999) ** (mpf(t) / 3)) <= 2.0
