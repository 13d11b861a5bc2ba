"""Schedules under reports: the curve is what the schedule would have given, and shows why."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

import lrdsl
from lrdsl.plotting import axes, curve, layout, style, svg
from lrdsl.plotting.trace import Report, Trace

SVG = "{http://www.w3.org/2000/svg}"
TEXT = "linear(20, to=0.5x) | plateau(patience=0, factor=0.5)"
REPORTS = [Report(step, "loss", value) for step, value in [(9, 1.0), (3, 1.0), (6, 0.5), (12, 0.4), (15, 0.4)]]


def schedule(text: str = TEXT, **context: float) -> lrdsl.Schedule:
    return lrdsl.compile(text, base_lr=1.0, **context)  # type: ignore[arg-type]


def test_a_trace_gives_what_the_schedule_gave_at_the_time() -> None:
    track = schedule().track("lr")
    assert track is not None
    trace = Trace(track, REPORTS)
    live = schedule()
    pending = sorted(REPORTS)
    for step in range(25):
        while pending and pending[0].step == step:
            live.observe(pending.pop(0).value, step=step)
        assert trace.value(step) == live.lr(step)
    assert trace.moved() == [9, 15]


def test_the_schedule_hears_nothing() -> None:
    drawn = schedule()
    found = curve.of(drawn, reports=REPORTS)
    assert (found.moves, found.note) == ((9, 15), "")
    assert drawn.state_dict() == schedule().state_dict()
    assert curve.of(drawn).note == "cuts depend on the observed loss"


def test_a_cut_is_drawn_as_a_jump() -> None:
    found = curve.of(schedule(), reports=REPORTS)
    plan = layout.of([found], log=False, boundaries=True)
    (run,) = plan.runs(found)
    xs = [round(x, 6) for x, _ in run]
    assert {x for x in xs if xs.count(x) > 1} == {round(plan.x(9), 6), round(plan.x(15), 6)}


def test_jumps_inside_a_segment_have_corners_and_bends_have_none() -> None:
    for text, corners in [
        ("step(7, gamma=0.5, n=20)", [7, 14]),
        ("repeat(3, linear(6))", [6, 12]),
        ("repeat(2, cosine(10))", [10]),
        ("repeat(3, hold(5) >> constant(0, 1))", [5, 6, 11, 12, 17]),
        ("cycle(linear(2))", list(range(2, 19))),
        ("cyclic(4, from=0, to=1x)", []),
        ("cycle(linear(6)) | skip(5)", [1, 7, 13, 19]),
        ("cyclic(3, from=0, to=1x) | skip(2)", []),
        ("warmup(1) >> cosine(10)", [1]),
        ("hold(5) >> constant(0.5, 5)", [5]),
        ("hold(5) >> one_minus_sqrt(15)", []),
        ("constant(0, 1) >> warmup(10, shape=log)", []),
        ("exponential(0.5, n=20)", []),
    ]:
        found = curve.of(schedule(text), end=19)
        plan = layout.of([found], log=False, boundaries=True)
        xs = [round(x, 6) for run in plan.runs(found) for x, _ in run]
        assert sorted({x for x in xs if xs.count(x) > 1}) == [round(plan.x(step), 6) for step in corners], text


@pytest.mark.parametrize(
    "text", ["cycle(cosine(6), gain=0.5)", "linear(6, to=0.2x) >> linear(6, from=0.5x)", "step(6, gamma=0.5)"]
)
def test_every_jump_is_level_up_to_the_update_that_makes_it(text: str) -> None:
    made = schedule(text)
    found = curve.of(made, end=12)
    plan = layout.of([found], log=False, boundaries=True)
    (run,) = plan.runs(found)
    corner = next(i for i, (x, _) in enumerate(run) if round(x, 6) == round(plan.x(6), 6))
    assert run[corner] == (plan.x(6), plan.y(made.lr(5)))
    assert run[corner + 1] == (plan.x(6), plan.y(made.lr(6)))
    assert {y for _, y in run} <= {plan.y(made.lr(step)) for step in range(13)}


def test_a_number_on_its_own_is_a_point() -> None:
    alone = curve.Curve("text", "learning rate", (0, 1, 2), (float("nan"), 1.0, float("nan")), ())
    assert [len(run) for run in layout.of([alone], log=False, boundaries=True).runs(alone)] == [1]


def test_corners_of_long_runs_are_left_out() -> None:
    found = curve.of(schedule("hold(5000) >> constant(0.5, 5000)"))
    assert [len(run) for run in layout.of([found], log=False, boundaries=True).runs(found)] == [len(found.steps)]


def test_a_panel_for_each_metric() -> None:
    text = "hold() | plateau(patience=0) | guard(metric=grad_norm, spike=3)"
    reports = [*REPORTS, Report(2, "grad_norm", 1.0), Report(4, "grad_norm", float("nan")), Report(5, "other", 1.0)]
    found = curve.of(schedule(text), end=20, reports=reports)
    assert [series.metric for series in found.metrics] == ["grad_norm", "loss"]
    root = ElementTree.fromstring(svg.render([found]))
    assert len([p for p in root.iter(f"{SVG}path") if p.get("class") == "metric"]) == 2
    assert {"grad_norm", "loss"} <= {t.text for t in root.iter(f"{SVG}text")}
    assert [p.get("d", "").split()[0] for p in root.iter(f"{SVG}path") if p.get("class") == "move"]


def test_a_rate_that_follows_every_report_has_no_lines() -> None:
    reports = [Report(step, "grad_norm", 2.0 + step) for step in range(1, 100)]
    found = curve.of(schedule("hold() | normscale(1)"), end=100, reports=reports)
    assert found.moves == ()
    assert found.values[found.steps.index(50)] == 1 / 52


@pytest.mark.parametrize(
    ("text", "context", "title", "labels"),
    [
        ("cosine(20ep)", {"steps_per_epoch": 50}, "epoch (50 steps each)", ("0", "5", "10", "15", "20")),
        ("cosine(2Mtok)", {"tokens_per_step": 5e3}, "tokens (5,000 per step)", None),
        ("cosine(1024smp)", {"samples_per_step": 32}, "samples (32 per step)", ("0", "200", "400", "600", "800", "1k")),
        ("cosine(1ep) >> linear(100smp, from=1x)", {"steps_per_epoch": 20, "samples_per_step": 5}, "step", None),
        ("cosine(20)", {"steps_per_epoch": 5}, "step", ("0", "5", "10", "15", "20")),
    ],
)
def test_steps_are_counted_as_the_text_does(
    text: str, context: dict[str, float], title: str, labels: tuple[str, ...] | None
) -> None:
    axis, _ = axes.of([curve.of(schedule(text, **context))])
    assert axis.title == title
    assert labels is None or axis.labels == labels
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("cosine(5000000000000tok, to=0.1x)", "cosine(5Ttok, to=0.1x)"),
        ("warmup(375000000tok) >> hold(until=300000000000tok)", "warmup(375Mtok) >> hold(until=300Btok)"),
        ("hold(8388608000tok)", "hold(8388608ktok)"),
        ("cosine(1234567)", "cosine(1234567)"),
        ("cosine(10000)", "cosine(10000)"),
        ("constant(0.1234567, 12345678)", "constant(0.1234567, 12345678)"),
    ],
)
def test_large_numbers_get_suffixes(text: str, written: str) -> None:
    assert style.readable(text) in (written, text.replace("8388608000", "8.388608B"))
    bound = {"tokens_per_step": 1e6}
    assert str(schedule(style.readable(text), **bound)) == str(schedule(text, **bound))


def test_a_modifier_that_sets_in_is_named() -> None:
    found = curve.of(schedule("warmup(10) >> inverse_sqrt(10) | cooldown(20%)", total_steps=200))
    assert [part.label for part in found.named] == ["warmup(10)", "inverse_sqrt(10)", "cooldown(20%)"]


def test_neighbours_of_one_name_are_named_once() -> None:
    found = curve.of(schedule("warmup(10) * multistep([20, 30], n=50)"))
    assert found.boundaries
    assert found.named == ()
