"""Notes: what is not wrong, but worth knowing."""

import pytest

import lrdsl


def notes(text, **context):
    schedule = lrdsl.compile(text, **{"base_lr": 1.0, "total_steps": 100, **context})
    return [(note.code, note.message) for note in schedule.notes]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linear(100)", []),
        ("cosine(rest)", []),
        ("hold()", []),
        ("linear(60)", [("N0701", "the schedule has 60 steps, the run 100: it holds its last rate")]),
        ("linear(200)", [("N0701", "the schedule has 200 steps, the run 100: it is cut short")]),
        (
            "hold(50) >> linear(50, from=0.5x)",
            [("N0702", "`lr` jumps to 0.5 at step 50 (-50 %)")],
        ),
        ("linear(50) >> constant(1)", [("N0702", "`lr` jumps to 1 at step 50 (from 0)")]),
        ("hold(50) >> linear(50, from=0.995x)", []),
        ("hold(50) >> warmup(50)", [("N0702", "`lr` jumps to 0 at step 50 (-100 %)")]),
        ("warmup(100)", [("N0704", "update 0 has learning rate 0: it moves nothing")]),
        (
            "hold() | plateau(metric=acc)",
            [("N0713", 'a modifier waits for `observe(..., "acc")`: without reports it does nothing')],
        ),
        (
            "lr = linear(100); weight_decay = constant(1, 10) >> constant(2)",
            [("N0702", "`weight_decay` jumps to 2 at step 10 (+100 %)")],
        ),
    ],
)
def test_notes(text, expected):
    assert notes(text) == expected


def test_notes_come_in_the_order_of_their_codes():
    found = notes("warmup(10) >> linear(10, from=0.5x) | plateau()")
    assert [code for code, _ in found] == ["N0701", "N0702", "N0704", "N0713"]


def test_without_a_total_there_is_no_run_to_fit():
    assert notes("linear(60)", total_steps=None) == []


def test_a_note_renders():
    (note,) = lrdsl.compile("linear(60)", base_lr=1.0, total_steps=100).notes
    assert note.render("linear(60)").startswith("N0701: the schedule has 60 steps")
