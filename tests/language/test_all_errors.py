"""Every error of a text, not only the first: each said once, where it is, in the order of the text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrdsl
from lrdsl.errors import ScheduleError
from lrdsl.syntax.parser import parse
from lrdsl.syntax.tree import Bare
from tests.language.corpus import ACCEPTED, CONTEXT, REJECTED


def errors(text, **context):
    try:
        lrdsl.compile(text, **{**CONTEXT, **context})
    except ScheduleError as error:
        return [error, *error.others]
    return []


def found(text, **context):
    """Code and the words it is about, for every error of a text."""
    return [(error.code, text[slice(*error.span)]) for error in errors(text, **context)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Parts of a sequence.
        ("cosin(10) >> 0.5", [("E0204", "cosin"), ("E0502", "0.5")]),
        (
            "warmup(0.5x) >> cosine(10, mn=0) >> hold() >> linear(5)",
            [("E0302", "0.5x"), ("E0202", "mn=0"), ("E0503", "hold()")],
        ),
        (
            "cosine(10, to=-1) >> linear(until=5) >> multistep([9, 3], n=20)",
            [("E0607", "-1"), ("E0410", "linear(until=5)"), ("E0602", "multistep([9, 3], n=20)")],
        ),
        ("linear(5) >> step(3, n=9) >> cosine(9) >> cosin(9)", [("E0608", "step(3, n=9)"), ("E0204", "cosin")]),
        ("step(9, gamma=0) >> linear(5)", [("E0601", "0")]),
        # Both sides of `|`, and arguments of either.
        (
            "cosine(10, T_max=3) | plateau(factor=2, patience=-1)",
            [("E0202", "T_max=3"), ("E0601", "2"), ("E0312", "-1")],
        ),
        ("cosin(5) | clamp() | scale(0.1x)", [("E0204", "cosin"), ("E0208", "clamp()"), ("E0303", "0.1x")]),
        ("cosin(5) | platau()", [("E0204", "cosin"), ("E0505", "platau")]),
        ("(hold() >> cosine(5)) | platau()", [("E0503", "hold()"), ("E0505", "platau")]),
        ("(hold() >> cosine(5)) | clamp(min=-1, max=-2)", [("E0503", "hold()"), ("E0607", "-1"), ("E0607", "-2")]),
        # Operands.
        ("max(cosin(5), 10%, linear(0.5x))", [("E0204", "cosin"), ("E0309", "10%"), ("E0302", "0.5x")]),
        ("cosine(cosine(5)) + foo(3)", [("E0309", "cosine(5)"), ("E0204", "foo")]),
        ("(hold() >> cosine(5)) * cosin(5)", [("E0503", "hold()"), ("E0204", "cosin")]),
        ("cosine(foo + bar, to=baz * 2)", [("E0201", "foo"), ("E0201", "bar"), ("E0201", "baz")]),
        # Formulas and lists.
        (
            "expr(where(foo < 5, bar(t, 3ep)), n=-3)",
            [
                ("E0206", "where(foo < 5, bar(t, 3ep))"),
                ("E0201", "foo"),
                ("E0204", "bar"),
                ("E0310", "3ep"),
                ("E0403", "-3"),
            ],
        ),
        ("onecycle(9, peak=-1) >> onecycle(9, end=-1)", [("E0607", "-1"), ("E0607", "-1")]),
        ("multistep([2.5, -1, 0.5x])", [("E0405", "2.5"), ("E0403", "-1"), ("E0302", "0.5x")]),
        # One call, wrong in several ways.
        *[
            (
                f"cosin(5) >> {call} >> cosin(5)",
                [("E0204", "cosin"), *((code, call) for code in codes), ("E0204", "cosin")],
            )
            for call, codes in {
                "multistep([30, 20], values=[1, 2], n=99)": ["E0602", "E0603"],
                "multistep([30, 20, 50], values=[1, 2, 3, 4], n=9)": ["E0602", "E0604"],
                "points([0, 5, 3], [1, 2])": ["E0602", "E0603"],
                "points([5], [1])": ["E0603"],
                "points([5, 5], [0, 1, 2], geometric)": ["E0602", "E0603", "E0605"],
            }.items()
        ],
        # Statements.
        (
            "learning_rate = cosin(5); lr = linear(mn=3); momentum = 0.5; lr = hold() >> hold()",
            [
                ("E0212", "learning_rate"),
                ("E0204", "cosin"),
                ("E0202", "mn=3"),
                ("E0309", "0.5"),
                ("E0213", "lr"),
                ("E0503", "hold()"),
            ],
        ),
        (
            "cosin(5); lr = linear(-1); cosine(0.5x)",
            [
                ("E0204", "cosin"),
                ("E0112", "lr = linear(-1)"),
                ("E0403", "-1"),
                ("E0111", "cosine(0.5x)"),
                ("E0302", "0.5x"),
            ],
        ),
        (
            "lr = cosine(10) - 1x; beta1 = constant(2); weight_decay = cosin(5)",
            [("E0609", "cosine(10) - 1x"), ("E0611", "constant(2)"), ("E0204", "cosin")],
        ),
        # A `let` is wrong where it is written, and only there.
        ("let w = foo; warmup(w) >> cosine(w) >> linear(bar)", [("E0201", "foo"), ("E0201", "bar")]),
        ("let a = a; let b = a * 2; cosine(b, to=a)", [("E0214", "a")]),
        (
            "let cosine = foo; let cosine = 3; linear(cosine)",
            [("E0210", "cosine"), ("E0201", "foo"), ("E0210", "cosine")],
        ),
        ("let a = 5; let a = 0.1x; cosine(a) >> foo()", [("E0211", "a"), ("E0204", "foo")]),
        ("let s = hold() >> cosine(5); lr = s; lr[head] = s | scale(-1)", [("E0503", "hold()"), ("E0601", "-1")]),
        ("let p = 0.5 >> hold(); p | plateau(mode=up)", [("E0502", "0.5"), ("E0315", "up")]),
        ("let w = cosin(5)", [("E0113", "let w = cosin(5)"), ("E0204", "cosin")]),
        # `rest`.
        (
            "cosine(rest, to=-1) >> cosin(3) >> linear(rest)",
            [("E0607", "-1"), ("E0204", "cosin"), ("E0408", "linear(rest)")],
        ),
        ("warmup(rest) >> 0.5 >> cosine(20_000)", [("E0502", "0.5")]),
        ("repeat(3, cosine(rest) >> hold(until=5))", [("E0407", "rest"), ("E0407", "until=5")]),
    ],
)
def test_every_error_in_order(text, expected):
    assert found(text) == expected


def test_a_missing_unit_is_one_error():
    text = "warmup(1ep) >> cosine(3ep) >> linear(2Btok) >> hold(1ep)"
    assert found(text, steps_per_epoch=None, tokens_per_step=None) == [("E0401", "1ep"), ("E0401", "2Btok")]


def test_all_carry_the_text_and_the_first_is_what_compile_raises():
    first, second = errors("cosin(5) >> linear(mn=3)")
    assert (first.code, first.text, second.text) == ("E0204", *["cosin(5) >> linear(mn=3)"] * 2)
    assert second.others == ()
    first, *rest = errors("cosin(5) >> points([5, 5], [0, 1, 2], geometric)")
    assert (len(rest), [error.others for error in rest], rest[0].text) == (3, [()] * 3, first.text)
    assert str(first.within("x", "a.yaml").others[0]).count("a.yaml") == 1


def test_a_syntax_error_stays_alone():
    assert [error.code for error in errors("cosin(5) >> linear(mn=3")] == ["E0102"]


def test_reading_stops_after_many():
    assert len(errors(" >> ".join(f"a{i}()" for i in range(1500)))) == 1000


def test_a_text_too_large_is_read_no_further():
    lets = "; ".join(["let a0 = 1", *(f"let a{i} = a{i - 1} + a{i - 1}" for i in range(1, 20))])
    assert [error.code for error in errors(f"{lets}; cosin(a19)")] == ["E0902"]


# --- known mistakes, put together ---------------------------------------------------------------------------


def _alone():
    """Texts of one schedule that are wrong wherever they stand, with their errors."""
    by_their_place = ("E0309", "E0406", "E0408", "E0409", "E0410")  # a bare value, no steps, `rest`, `until`
    sampled = ("E0609", "E0610", "E0611")  # values are looked at when nothing else is wrong
    for code, texts in REJECTED.items():
        for text in texts:
            if code in (*by_their_place, *sampled):
                continue
            try:
                statements = parse(text).statements
            except ScheduleError:
                continue
            if len(statements) == 1 and isinstance(statements[0], Bare):
                yield text


ALONE = list(_alone())


def own(text):
    """Its errors, without the brackets that a part has in one text and not in another."""
    return {(error.code, text[slice(*error.span)].strip("()")) for error in errors(text)}


@given(st.lists(st.sampled_from(ALONE), min_size=2, max_size=4))
def test_a_sequence_has_the_errors_of_its_parts(parts):
    # Between them the rate comes back from 0, from where many a decay is an error of its own.
    text = " >> constant(1x, 9) >> ".join(f"({part})" for part in parts)
    expected, all_ = set().union(*map(own, parts)), own(text)
    assert expected <= all_
    assert {code for code, _ in all_ - expected} <= {"E0503"}  # a part that never ends as well


@given(st.lists(st.sampled_from(ALONE), min_size=2, max_size=4, unique=True))
def test_a_script_has_the_errors_of_its_statements(parts):
    text = "; ".join(f"lr[{index}] = {part}" for index, part in enumerate(parts))
    assert own(text) == set().union(*map(own, parts))


@given(st.lists(st.sampled_from(ALONE), min_size=2, max_size=4))
def test_operands_have_their_errors(parts):
    text = f"max({', '.join(f'({part})' for part in parts)})"
    assert own(text) == set().union(*map(own, parts))


TOKEN = re.compile(r"\w+%?|\*\*|>>|[^\s\w]|\s+")
CORPUS = [*ACCEPTED, *(text for texts in REJECTED.values() for text in texts)]
WORDS = sorted({word for text in CORPUS for word in TOKEN.findall(text)})
FORMS = ["{}", "({}) >> ({})", "({}) | {}", "repeat(3, {})", "let s = {}; s >> s | take(5)", "max({}, {})"]


@given(st.data())
def test_any_text_of_the_language_is_a_schedule_or_a_list_of_errors(data):
    words = TOKEN.findall(data.draw(st.sampled_from(CORPUS)))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(words)))
        words[at : at + data.draw(st.integers(0, 1))] = data.draw(st.lists(st.sampled_from(WORDS), max_size=1))
    form = data.draw(st.sampled_from(FORMS))
    text = form.format("".join(words), data.draw(st.sampled_from(CORPUS)))
    context = data.draw(st.sampled_from([CONTEXT, {"base_lr": 1.0}]))
    try:
        notes = lrdsl.compile(text, **context).notes
    except ScheduleError as error:
        every = [error, *error.others]
        spans = [one.span for one in every if one.span is not None]
        assert spans == sorted(spans)
        assert len({(one.code, one.span) for one in every}) == len(every)
        assert all(0 <= start <= end <= len(text) for start, end in spans)
    else:
        assert all(note.render(text) for note in notes)
