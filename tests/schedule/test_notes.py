"""Notes: what is not wrong, but worth knowing. What they say is compared with the files of ``tests/golden/notes``."""

from collections import Counter
from pathlib import Path

import pytest

import lrdsl
from lrdsl.errors import CODES
from tests.language.corpus import CONTEXT

FOLDER = Path(__file__).parents[1] / "golden" / "notes"
FILES = sorted(FOLDER.glob("*.txt"))


def notes(text, **context):
    return lrdsl.compile(text, **{**CONTEXT, **context}).notes


def codes(text, **context):
    return [note.code for note in notes(text, **context)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_note(path, golden):
    text = path.read_bytes().decode().split("\n---\n")[0]
    found = notes(text)
    assert path.stem.split("-")[0] in [note.code for note in found]
    for note in found:
        assert "\n" not in f"{note.message}{note.hint}" and not note.message.endswith(".")
        assert note.span is None or 0 <= note.span[0] < note.span[1] <= len(text)
    golden(path, f"{text}\n---\n" + "".join(f"{note.render(text)}\n" for note in found))


def test_every_note_has_two_files():
    count = Counter(path.stem.split("-")[0] for path in FILES)
    assert {code: count[code] for code in CODES if code[0] == "N" and count[code] < 2} == {}


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("N0701", "cosine(total)"),
        ("N0701", "hold()"),
        ("N0702", "hold(50) >> linear(rest, from=0.995x)"),
        ("N0702", "repeat(10, cosine(10ep))"),  # the restarts are what it is for
        ("N0702", "hold(rest) >> constant(0)"),  # never reached, which is said
        ("N0703", "linear(total, from=1e-5, to=1x)"),  # both ends are written
        ("N0703", "cosine(50%) >> cosine(50%, to=1x)"),  # from 0 there is only up
        ("N0703", "warmup(500, from=0.1x)"),
        ("N0703", "repeat(2, linear(50, to=0.1x), gain=0.5)"),
        ("N0704", "warmup(500) >> hold() | skip(1)"),
        ("N0704", "lr = hold(); lr[frozen] = constant(0)"),
        ("N0704", "lr = hold(); momentum = warmup(500, to=0.9) >> hold()"),
        ("N0705", "10 * cosine(total)"),
        ("N0705", "exponential(1.0001)"),
        ("N0705", "linear(total, from=0, to=10x) >> linear(5, to=11x)"),  # after the run
        ("N0706", "(linear(12, to=0.1x) | plateau()) >> hold()"),
        ("N0706", "hold() | plateau(patience=8, every=1k)"),
        ("N0707", "exponential(0.999) | clamp(min=1e-6, max=1x)"),
        ("N0707", "expr(base * where(step == 4321, 2, 1)) | clamp(max=1x)"),
        ("N0707", "hold() | plateau() | clamp(min=0.1x)"),  # the reports decide
        ("N0708", "cosine(rest) >> hold()"),
        ("N0708", "multistep([30ep, 99ep])"),
        ("N0708", "(hold() | take(50)) >> linear(rest)"),
        ("N0708", "repeat(2, multistep([30ep], n=60ep))"),
        ("N0709", "constant(0.1x)"),
        ("N0709", "step(30ep)"),
        ("N0709", "multistep([9999])"),
        ("N0709", "expr(base)"),
        ("N0710", "warmup(1) >> hold()"),
        ("N0710", "repeat(2, cosine(1))"),
        ("N0711", "multistep([30, 60, 90])"),
        ("N0711", "points([0, 50, 100], [1x, 1x, 0])"),
        ("N0712", "cosine(33%) >> linear(rest, from=1x)"),
        ("N0712", "linear(33.333%, to=0.1x) >> linear(rest)"),  # a third of a step in three thousand
        ("N0712", "exponential(0.9, every=0.126%)"),  # stays exact
        ("N0703", "lr = hold(); momentum = constant(0.8, 9) >> linear(9, to=0.9)"),  # a momentum may well rise
        ("N0704", "lr = linear(total, from=0.1x); lr[a] = (warmup(11) | skip(1)) >> hold()"),
        ("N0709", "multistep([3, 3], values=[1x, 2x, 0.1x])"),
    ],
)
def test_no_note(code, text):
    assert code not in codes(text)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (
            "warmup(500, to=0.5) >> cosine(rest)",
            "warmup(500, to=0.5)",
        ),  # it ends at the peak, whose first step is not its
        ("hold(100) >> constant(50, 10)", "constant(50, 10)"),
        ("hold(100) >> linear(100, from=50)", "linear(100, from=50)"),
        ("repeat(2, cosine(10)) >> constant(20x)", "constant(20x)"),
        ("hold(5) >> warmup(9995, to=30x)", "warmup(9995, to=30x)"),  # cut off before it gets there
        ("hold(5) >> warmup(50, to=30x)", "warmup(50, to=30x)"),  # and held
        ("constant(20x, 5) >> hold() ", "constant(20x, 5)"),  # the first to be there
        ("(constant(20x, 5) | clamp(max=15x)) >> hold()", "constant(20x, 5)"),
        ("lr = hold(); lr[head] = hold(9) >> 20 * hold()", "20 * hold()"),
        ("expr(base * where(step == 5000, 20, 1))", "expr(base * where(step == 5000, 20, 1))"),
    ],
)
def test_a_peak_is_told_of_what_brings_it(text, where):
    (note,) = [note for note in notes(text) if note.code == "N0705"]
    assert text[slice(*note.span)] == where


@pytest.mark.parametrize(
    ("text", "first", "hint"),
    [
        ("warmup(500) >> cosine(rest)", "warmup(500)", "(warmup(501) | skip(1))"),
        ("warmup(1k, to=0.1x)", "warmup(1k, to=0.1x)", "(warmup(1001, to=0.1x) | skip(1))"),
        ("warmup(2%, from=0) >> hold()", "warmup(2%, from=0)", "(warmup(2% + 1, from=0) | skip(1))"),
        ("warmup(n=5ep) >> hold()", "warmup(n=5ep)", "(warmup(n=5ep + 1) | skip(1))"),
        ("let w = 500; warmup(w * 2) >> hold()", "warmup(w * 2)", "(warmup(w * 2 + 1) | skip(1))"),
        ("warmup(until=50) >> hold()", "warmup(until=50)", "(warmup(until=50) | skip(1))"),
        ("warmup(rest) >> cosine(50)", "warmup(rest)", "(warmup(rest) | skip(1))"),
        ("((warmup(9))) >> hold()", "((warmup(9)))", "(warmup(10) | skip(1))"),
        ("warmup(9) >> hold() | plateau()", "warmup(9)", "(warmup(10) | skip(1))"),
        ("(warmup(90) | take(50)) >> hold(rest)", "warmup(90)", "(warmup(91) | skip(1))"),
        ("let s = warmup(9); lr = s >> hold(); lr[a] = s >> cosine(rest)", "warmup(9)", "(warmup(10) | skip(1))"),
        ("lr = hold(9); weight_decay = warmup(9, to=1); lr[a] = warmup(7)", "warmup(7)", "(warmup(8) | skip(1))"),
    ],
)
def test_a_warmup_that_leaves_out_its_first_step(text, first, hint):
    (note,) = [note for note in notes(text) if note.code == "N0704"]
    start, end = note.span
    assert (text[start:end], note.hint) == (first, f"`{hint}`, or a `from` above 0")
    before, after = (lrdsl.compile(one, **CONTEXT) for one in (text, text[:start] + hint + text[end:]))
    assert {note.code for note in after.notes} == {note.code for note in before.notes} - {"N0704"}
    for key in before.tracks:
        assert [(r.begin, r.end) for r in after.segments(*key)] == [(r.begin, r.end) for r in before.segments(*key)]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("wsd(total, 1%, 20%)", "wsd(total, 1%, 20%)"),
        ("noam(512, warmup=4000)", "noam(512, warmup=4000)"),
        ("points([0, 100], [0, 1x]) >> cosine(rest)", "points([0, 100], [0, 1x])"),
        ("cycle(warmup(10) | take(5)) | plateau()", "cycle(warmup(10) | take(5))"),
        ("wsd(9, 2, 2) >> repeat(2, expr(base * t, n=9))", "wsd(9, 2, 2)"),
        ("repeat(10, warmup(10) >> cosine(990)) >> hold()", "repeat(10, warmup(10) >> cosine(990))"),
        ("lr = 0.5 * warmup(10) >> hold(9) | plateau(); eps = expr(1e-8)", "0.5 * warmup(10)"),
        ("max(warmup(10), linear(20, from=0, to=1x)) >> hold()", "max(warmup(10), linear(20, from=0, to=1x))"),
    ],
)
def test_a_schedule_that_leaves_out_its_first_step(text, first):
    (note,) = [note for note in notes(text) if note.code == "N0704"]
    start, end = note.span
    assert (text[start:end], note.hint) == (first, "`(... | skip(1))` leaves that step out")
    assert "N0704" not in codes(f"{text[:start]}({first} | skip(1)){text[end:]}")


@pytest.mark.parametrize(
    "text",
    [
        "expr(base * step / total)",
        "let f = expr(base * t); max(f, 0.5 * f)",
        "repeat(3, expr(base * t, n=5))",
        "expr(base * step) | skip(1)",
    ],
)
def test_a_formula_that_starts_at_zero(text):
    (note,) = [note for note in notes(text) if note.code == "N0704"]
    assert note.hint == "let the formula start above 0"  # `skip` leaves its `step` as it is


@pytest.mark.parametrize("text", ["linear(9, from=0, to=1x)", "cyclic(10, from=0, to=1x)", "cosine(9, 1x, 0)"])
def test_a_segment_that_can_start_elsewhere(text):
    (note,) = [note for note in notes(text) if note.code == "N0704"]
    assert (note.span, note.hint) == ((0, len(text)), "give it a `from` above 0")


RECIPES = {
    "warmup(2000) >> cosine(rest, to=0.1x)": ["N0704"],
    "warmup(2000) >> cosine(rest, to=0.1x) | skip(1)": [],
    "warmup(10%) >> linear(rest)": ["N0704"],
    "warmup(1%) >> hold(rest) >> one_minus_sqrt(20%)": ["N0704"],
    "wsd(total, 1%, 20%)": ["N0704"],
    "warmup(4000) >> inverse_sqrt(4000)": ["N0704"],
    "noam(512, warmup=4000)": ["N0704"],
    "onecycle(total)": [],
    "step(30ep)": [],
    "multistep([30ep, 60ep, 90ep])": [],
    "polynomial(total, 0.9)": [],
    "exponential(0.97, every=2.4ep)": [],
    "repeat(10, cosine(10ep))": [],
    "cycle(cosine(10ep), mult=2)": [],
    "cosine(total)": [],
    "warmup(5ep) >> cosine(rest, to=1e-5)": ["N0704"],
    "hold() | plateau()": [],
    "hold() | normscale(1) | guard()": [],
    "lr = warmup(500) >> cosine(rest); weight_decay = linear(total, from=0.1, to=0.2)": ["N0704"],
}


@pytest.mark.parametrize("text", RECIPES)
def test_usual_recipes_have_few_notes(text):
    assert codes(text) == RECIPES[text]


def test_large_factors_are_written_as_explain_does():
    (note,) = [note for note in notes("hold(5) >> constant(500x)") if note.code == "N0702"]
    assert note.message == "`lr` jumps to 0.5 at step 5 (500x)"
    (row,) = lrdsl.compile("hold(5) >> constant(500x)", **CONTEXT).segments()[1:]
    assert f"({row.change})" in note.message


def test_a_milestone_that_is_repeated_often_is_one_note():
    found = [note for note in notes("multistep([5, 5, 5, 7, 9, 9])") if note.code == "N0711"]
    assert [note.span for note in found] == [(14, 15), (26, 27)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("((hold(1) >> cosine(30)) | clamp(max=0.5x)) | skip(1)", None),
        ("((constant(2x, 1) >> cosine(30, from=1x)) | clamp(max=1x)) | skip(1)", "N0707"),
        ("(hold(1) | clamp(max=0.5x)) | skip(1) | take(5)", None),
        ("(hold(20) | plateau(patience=8)) | skip(10)", None),
        ("(hold(20) | plateau(patience=9)) | skip(10)", "N0706"),
    ],
)
def test_what_is_left_out_is_not_looked_at(text, code):
    assert {"N0706", "N0707"} & set(codes(text)) == ({code} if code else set())


def test_nothing_is_said_of_a_clamp_whose_left_side_is_too_large_alone():
    large = " >> ".join(["multistep([" + ", ".join(map(str, range(1, 101))) + "], from=1x, n=200)"] * 20)
    assert "N0707" in codes(f"(({large[: large.index(' >> ')]}) | clamp(max=0.5)) | take(10)")
    assert "N0707" not in codes(f"(({large}) | clamp(max=0.5)) | take(10)")


def test_without_a_total_there_is_no_run_to_fit():
    assert codes("linear(60) >> multistep([300], from=1x)", total_steps=None) == ["N0702"]


def test_without_a_base_there_is_no_peak():
    assert codes("lr = hold(); eps = constant(1)") == []


def test_notes_come_in_the_order_of_the_text_and_each_once():
    text = "let s = warmup(0) >> linear(50, to=2x); lr = s; lr[head] = s | plateau(); beta1 = constant(0.5, 9)"
    found = notes(text)
    spans = [note.span for note in found if note.span is not None]
    assert spans == sorted(spans) and len(set(found)) == len(found)
    assert [note.span for note in found[len(spans) :]] == [None] * (len(found) - len(spans))
    assert Counter(note.code for note in found)["N0710"] == 1


@pytest.mark.parametrize("base", [0.0, 1e-300, 1e300])
def test_no_base_is_too_strange(base):
    codes("warmup(500) >> cosine(5000, to=0.1x) | clamp(max=1x)", base_lr=base)
