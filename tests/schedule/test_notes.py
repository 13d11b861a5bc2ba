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
        ("N0713", "cosine(total)"),
    ],
)
def test_no_note(code, text):
    assert code not in codes(text)


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
    "hold() | plateau()": ["N0713"],
    "lr = warmup(500) >> cosine(rest); weight_decay = linear(total, from=0.1, to=0.2)": ["N0704"],
}


@pytest.mark.parametrize("text", RECIPES)
def test_usual_recipes_have_few_notes(text):
    assert codes(text) == RECIPES[text]


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
