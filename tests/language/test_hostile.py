"""Whatever comes in: an error that points into the text, in bounded time, and no recursion."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrdsl.errors import CODES, ScheduleError
from lrdsl.syntax.parser import parse
from lrdsl.syntax.tree import Call, Name, Node, Number, children

FULL = 65536


def filled(unit, last=""):
    return unit * ((FULL - len(last)) // len(unit)) + last


@pytest.fixture
def shallow_stack():
    """Room for the deepest tree allowed, and for little else."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(300)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("E0901", "(" * 10_000),
        ("E0901", "(" * 10_000 + "1" + ")" * 10_000),
        ("E0901", "f(" * 65 + ")" * 65),
        ("E0901", "[" * 65 + "]" * 65),
        ("E0901", filled("-", "1")),
        ("E0901", filled("1+", "1")),
        ("E0901", filled("a|", "a")),
        ("E0901", filled("2**", "2")),
        ("E0103", filled("+")),
        ("E0103", filled(">>")),
        ("E0103", filled("a ")),
        ("E0103", filled("1,")),
        ("E0103", filled('""')),
        ("E0103", filled("a=")),
        ("E0102", filled(")")),
        ("E0101", filled("%")),
        ("E0101", "#" + filled("1")[:60_000] + "a\n%"),
        ("E0101", filled('"', "a")[: FULL - 1]),
        ("E0101", filled("\x00")),
        ("E0101", filled("\u202e")),
        ("E0104", "1e99999"),
        ("E0104", "1_" * 32),
        ("E0100", filled("\n")),
        ("E0100", filled("#")),
        ("E0903", filled("1")),
        ("E0903", filled("1_")),
        ("E0903", filled("1.")),
        ("E0903", filled("a")),
        ("E0903", '"' + "a" * 257 + '"'),
        ("E0904", filled("a") + "a"),
        ("E0904", "(" * 10**6),
        ("E0905", "a;" * 257),
        ("E0905", filled("a;")),
        ("E0906", "[" + "1," * 1025 + "]"),
        ("E0906", "f(" + "1," * 1025 + ")"),
    ],
    ids=lambda text: text[:12].encode("ascii", "backslashreplace").decode(),
)
def test_hostile_text_is_an_error(code, text, shallow_stack):
    with pytest.raises(ScheduleError) as caught:
        parse(text)
    assert caught.value.code == code
    assert len(caught.value.message) < 200 and len(caught.value.hint or "") < 200
    assert len(str(caught.value)) < 3 * FULL + 1000


@pytest.mark.parametrize(
    "text",
    [
        "(" * 64 + "1" + ")" * 64,
        "f(" * 64 + ")" * 64,
        "-" * 63 + "1",
        " + ".join("1" * 64),
        ";".join(["a"] * 256),
        "[" + "1," * 1024 + "]",
        "a" * 64,
        "1" * 64,
        '"' + "a" * 256 + '"',
        " " * (FULL - 1) + "a",
        " >> ".join(["a"] * 4000),
    ],
    ids=lambda text: f"{text[:6]}-{len(text)}",
)
def test_the_limits_themselves_are_accepted(text, shallow_stack):
    assert parse(text).statements


WORDS = "warmup(5) cosine ( 10 ) [ ] , ; = == < > >> | + - * / ** let w rest true lr [head] 10K 3ep 0.5x .5 % # é 日"
FRAGMENTS = [*WORDS.split(), "lrdsl 1", '"', "\n", "\t"]
fragments = st.lists(st.sampled_from(FRAGMENTS))


def inside(node, start, end):
    """All spans of a tree lie inside those above, and a leaf's span is what was written."""
    assert start <= node.span[0] < node.span[1] <= end
    for child in children(node):
        inside(child, *node.span)


@given(
    st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(" ".join)
    | st.lists(st.sampled_from(FRAGMENTS)).map("".join)
    | st.text()
)
def test_any_text_is_a_tree_or_an_error_in_place(text):
    try:
        script = parse(text)
    except ScheduleError as error:
        assert error.code in CODES
        assert error.span is not None
        assert 0 <= error.span[0] <= error.span[1] <= len(text)
        assert str(error).startswith(f"{error.code}: {error.message}\n")
        return
    for statement in script.statements:
        inside(statement.value, *statement.span)
        check_leaves(statement.value, text)


def check_leaves(node: Node, text: str) -> None:
    written = text[slice(*node.span)].strip("()+ \t\n")
    if isinstance(node, Number):
        assert written == node.text
    if isinstance(node, Name):
        assert node.id in written
    if isinstance(node, Call):
        assert text[slice(*node.function_span)] == node.function
    for child in children(node):
        check_leaves(child, text)
