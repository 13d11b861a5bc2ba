"""`guard` and `normscale` against models written from the specification's text, and by hand."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lrdsl
from tests.primitives.models import Guard, Normscale

NAN, INF = math.nan, math.inf


REPORTS = st.one_of(
    st.floats(0.5, 2.0),
    st.floats(0.5, 2.0),
    st.sampled_from([10.0, 3.0, 1e4, -1.0, -3.0, 0.0, NAN, INF, -INF]),
)
"""Mostly quiet."""
TRACES = st.lists(st.tuples(REPORTS, st.integers(0, 9)), min_size=1, max_size=40)
"""Reports, and how many steps after the one before."""


def written(**arguments):
    words = {None: "none", True: "true", False: "false"}
    shown = {name: words.get(x, x) if isinstance(x, bool | None) else x for name, x in arguments.items()}
    return ", ".join(f"{name}={x!r}" if isinstance(x, float) else f"{name}={x}" for name, x in shown.items())


@settings(max_examples=150)
@given(
    trace=TRACES,
    spike=st.sampled_from([None, 1.5, 3.0]),
    window=st.sampled_from([1, 3, 100]),
    factor=st.sampled_from([0.1, 0.5, 0.9]),
    recover=st.sampled_from([INF, 1, 7, 2.5, 40, 1000]),
    floor=st.sampled_from([0.0, 0.3, 0.9, 2.0]),
    nonfinite=st.booleans(),
)
def test_guard_is_the_model(trace, spike, window, factor, recover, floor, nonfinite):
    model = Guard(spike, window, factor, recover, floor, nonfinite)
    steps = "inf" if recover == INF else f"{recover * 100}%" if isinstance(recover, float) else recover
    options = written(spike=spike, window=window, factor=factor, recover=steps, min=floor, nonfinite=nonfinite)
    schedule = lrdsl.compile(f"linear(200, to=0.5x) | guard({options})", base_lr=1.0, total_steps=1)
    step = 0
    for y, later in trace:
        step += later
        model.report(y, step)
        schedule.observe(y, step=step)
        for at in (0, step - 1, step, step + 1, step + 5, step + 1000):
            v = 1.0 - 0.5 * min(at, 200) / 200
            # Past the end of its scope the cut heals no further.
            wanted = model.lr(v, min(at, 200))
            assert at < 0 or schedule.lr(at) == pytest.approx(wanted, rel=1e-12), (at, model.events)


@settings(max_examples=200)
@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=12),
    st.floats(1e-3, 1e3),
)
def test_normscale_is_the_model(norms, target):
    schedule = lrdsl.compile(f"linear(50) | normscale({target!r})", base_lr=1.0)
    model = Normscale(target)
    for step, y in enumerate(norms, start=1):
        schedule.observe(y, "grad_norm")
        model.report(y, step)
        for at in (0, step, 60):
            assert schedule.lr(at) == model.lr((50 - min(at, 50)) / 50, at)


def rates(text, reports, at, metric="loss", **context):
    """The rates after reports, each before the step that is named with it."""
    schedule = lrdsl.compile(text, **{"base_lr": 1.0, **context})
    for step, y in reports:
        schedule.observe(y, metric, step=step)
    return [schedule.lr(step) for step in at]


@pytest.mark.parametrize(
    ("text", "reports", "expected"),
    [
        # The specification's: a cut by ten that heals in a hundred steps, by the root of ten halfway.
        ("guard(spike=3, factor=0.1, recover=100)", [(1, 1.0), (10, NAN)], {10: 0.1, 60: 10**-0.5, 110: 1.0, 999: 1.0}),
        ("guard(factor=0.01, recover=inf)", [(10, INF)], {0: 0.01, 10: 0.01, 10**9: 0.01}),
        # A hundredth in two events in a row; the second one finds what the first has left.
        ("guard(factor=0.1, recover=100)", [(10, NAN), (10, NAN)], {10: 0.01, 60: 0.1, 110: 1.0}),
        ("guard(factor=0.1, recover=100)", [(10, NAN), (60, NAN)], {60: 10**-1.5, 110: 10**-0.75, 160: 1.0}),
        ("guard(factor=0.1, recover=100)", [(10, NAN), (500, NAN)], {500: 0.1, 600: 1.0}),
        ("guard(factor=0.1, recover=inf)", [(10, NAN), (500, NAN)], {500: 0.01}),
        # The floor, which raises nothing.
        ("guard(factor=0.1, min=0.5, recover=inf)", [(10, NAN)], {10: 0.5}),
        ("guard(factor=0.1, min=2x, recover=inf)", [(10, NAN)], {10: 1.0}),
        # Spikes: beyond three times the mean of what was quiet; the first report has nothing to be compared with.
        ("guard(spike=3, factor=0.5, recover=inf)", [(1, 99.0), (2, 1.0)], {2: 1.0}),
        ("guard(spike=3, factor=0.5, recover=inf)", [(1, 1.0), (2, 3.0)], {2: 1.0}),
        ("guard(spike=3, factor=0.5, recover=inf)", [(1, 1.0), (2, 3.5)], {2: 0.5}),
        ("guard(spike=3, factor=0.5, recover=inf)", [(1, 1.0), (2, 3.0), (3, 5.9)], {3: 1.0}),  # the mean is 2
        ("guard(spike=3, factor=0.5, recover=inf)", [(1, 1.0), (2, 99.0), (3, 3.5)], {3: 0.25}),  # spikes stay out
        ("guard(spike=3, window=1, factor=0.5, recover=inf)", [(1, 1.0), (2, 3.0), (3, 8.9)], {3: 1.0}),
        ("guard(spike=2, factor=0.5, recover=inf)", [(1, -4.0), (2, 0.0)], {2: 1.0}),  # by |mean| above a negative one
        ("guard(spike=2, factor=0.5, recover=inf)", [(1, -4.0), (2, 0.5)], {2: 0.5}),
        ("guard(factor=0.5, recover=inf)", [(1, 1.0), (2, 1e300)], {2: 1.0}),  # no spike unless asked for
        # nan and infinity, where they are no events by themselves: an infinite loss is still a spike.
        ("guard(nonfinite=false, factor=0.5)", [(1, 1.0), (2, NAN), (3, INF), (4, -INF)], {4: 1.0}),
        ("guard(spike=9, nonfinite=false, factor=0.5, recover=inf)", [(1, 1.0), (2, NAN), (3, INF)], {3: 0.5}),
        # A report made before an earlier event's step, as `observe(step=)` may.
        ("guard(factor=0.1, recover=10)", [(50, NAN), (20, 1.0)], {20: 0.1, 55: 10**-0.5}),
        # Two, one after the other.
        ("guard(factor=0.5, recover=inf) | guard(factor=0.1, recover=inf)", [(1, NAN)], {1: 0.05}),
    ],
)
def test_guard_by_hand(text, reports, expected):
    assert rates(f"hold() | {text}", reports, expected) == pytest.approx(list(expected.values()), rel=1e-13)


def test_an_end_of_scope_stops_the_healing_and_the_cut_flows_on():
    text = "(hold(100) | guard(factor=0.01, recover=100)) >> linear(10, to=0.5 * prev) >> hold()"
    found = rates(text, [(50, NAN), (100, NAN)], [50, 75, 99, 100, 105, 110, 999])  # the second is out of scope
    cut = 0.01**0.5
    expected = [0.01, 0.01**0.75, 0.01 ** (1 - 49 / 100), cut, 0.75 * cut, 0.5 * cut, 0.5 * cut]
    assert found == pytest.approx(expected, rel=1e-13)


def test_the_end_of_the_schedule_stops_the_healing():
    found = rates("hold(100) | guard(factor=0.01, recover=100)", [(50, NAN)], [99, 100, 150, 10**6])
    assert found == pytest.approx([0.01**0.51, 0.1, 0.1, 0.1], rel=1e-13)


@pytest.mark.parametrize(
    ("modifier", "steps"),
    [("skip(20)", (30, 55)), ("sample(10)", (30, 50)), ("take(80)", (30, 55)), ("scale(1)", (30, 55))],
)
def test_the_clock_is_the_schedule_s_under_other_modifiers(modifier, steps):
    """What is sampled heals in the steps of the sampling, and what is skipped is not lived through."""
    found = rates(f"hold(200) | guard(factor=0.01, recover=50) | {modifier}", [(30, NAN)], steps)
    assert found == pytest.approx([0.01 ** (1 - (step - 30) / 50) for step in steps], rel=1e-13)


def test_a_table_of_segments_shows_what_flows_on():
    schedule = lrdsl.compile("(hold(100) | guard(factor=0.01, recover=100)) >> hold(9)", base_lr=1.0)
    schedule.observe(NAN, step=50)
    row = schedule.segments()[0]
    assert (row.first, row.last, row.out) == pytest.approx((0.01, 0.01**0.51, 0.1), rel=1e-13)


@pytest.mark.parametrize(
    ("norms", "expected"),
    [
        ([], 1.0),
        ([4.0], 0.25),
        ([0.5], 1.0),
        ([4.0, NAN, INF, -INF], 0.25),  # not finite: as it was
        ([4.0, 0.0], 1.0),
        ([4.0, -2.0], 1.0),
        ([5e-324], 1.0),
        ([4.0, 2.0], 0.5),  # of the last report alone
    ],
)
def test_normscale_by_hand(norms, expected):
    reports = list(enumerate(norms, start=1))
    assert rates("hold() | normscale(1)", reports, [0, 9], "grad_norm") == [expected, expected]
    assert rates("hold() | normscale(1, metric=loss)", reports, [9]) == [expected]


@pytest.mark.parametrize("text", ["guard()", "guard(spike=2)", "greedy()", "normscale(1)", "plateau()"])
def test_only_a_guard_hears_of_skipped_updates(text):
    schedule = lrdsl.compile(f"hold() | {text}", base_lr=1.0)
    (metric,) = schedule.metrics
    before = schedule.state_dict()
    schedule.observe(NAN, metric, step=7, skipped=True)
    hears = "guard" in text
    assert (schedule.state_dict() == before) is not hears
    assert (schedule.lr(7) < 1.0) is hears
    schedule.observe(1.0, metric)
    assert schedule.state_dict()["observed"] == {metric: 1}, "a skipped update is not one that was reported before"
