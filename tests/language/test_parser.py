from fractions import Fraction

import pytest

from lrdsl.errors import ScheduleError
from lrdsl.syntax.parser import parse
from lrdsl.syntax.tree import (
    Argument,
    Assign,
    Bare,
    Binary,
    Call,
    Compare,
    Flag,
    Items,
    Let,
    Name,
    Negate,
    Number,
    Pipe,
    Rest,
    Script,
    String,
    Target,
    Then,
)
from tests.language.corpus import ACCEPTED, REJECTED

SYNTAX = ["E0100", "E0101", "E0102", "E0103", "E0104", "E0110", "E0207"]
A, B, C, D = (Name(letter) for letter in "abcd")


def value(text):
    (statement,) = parse(text).statements
    return statement.value


def number(value, unit=""):
    return Number(Fraction(value), unit)


@pytest.mark.parametrize("text", ACCEPTED)
def test_accepted(text):
    assert parse(text).statements


@pytest.mark.parametrize(
    ("code", "text"),
    [(code, text) for code in SYNTAX for text in REJECTED[code]],
)
def test_rejected_by_its_syntax(code, text):
    with pytest.raises(ScheduleError) as caught:
        parse(text)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a >> b >> c", Then((A, B, C))),
        ("a >> (b >> c)", Then((A, B, C))),
        ("((a >> b) >> c)", Then((A, B, C))),
        ("a >> b | c", Pipe(Then((A, B)), C)),
        ("a | b >> c", Pipe(A, Then((B, C)))),
        ("a | b | c", Pipe(Pipe(A, B), C)),
        ("a >> (b | c)", Then((A, Pipe(B, C)))),
        ("a + b >> c", Then((Binary("+", A, B), C))),
        ("a - b - c", Binary("-", Binary("-", A, B), C)),
        ("a - (b - c)", Binary("-", A, Binary("-", B, C))),
        ("a + b * c", Binary("+", A, Binary("*", B, C))),
        ("a * b ** c", Binary("*", A, Binary("**", B, C))),
        ("a ** b ** c", Binary("**", A, Binary("**", B, C))),
        ("-2 ** 2", Negate(Binary("**", number(2), number(2)))),
        ("2 ** -1", Binary("**", number(2), Negate(number(1)))),
        ("-a * b", Binary("*", Negate(A), B)),
        ("+a", A),
        ("- + -a", Negate(Negate(A))),
        ("a < b", Compare("<", A, B)),
        ("a >= b | c", Compare(">=", A, Pipe(B, C))),
        ("a >> b > c", Compare(">", Then((A, B)), C)),
        ("letter", Name("letter")),
        ("restful", Name("restful")),
        ("rest", Rest()),
        ("[true, false,]", Items((Flag(True), Flag(False)))),
        ("[]", Items()),
        ("f()", Call("f")),
        ("f(a, b=c,)", Call("f", (Argument(A), Argument(C, "b")))),
        ("f(from=a)", Call("f", (Argument(A, "from"),))),
        ('f("# (")', Call("f", (Argument(String("# (")),))),
        ("a # (", A),
        ("a\n+\tb\r\n", Binary("+", A, B)),
    ],
)
def test_tree(text, tree):
    assert value(text) == tree


@pytest.mark.parametrize(
    ("text", "exact", "unit"),
    [
        ("500", 500, ""),
        ("10_000", 10000, ""),
        ("1e4", 10000, ""),
        ("0.1", Fraction(1, 10), ""),
        ("1.5k", 1500, ""),
        ("10M", 10**7, ""),
        ("3B", 3 * 10**9, ""),
        ("1e-6", Fraction(1, 10**6), ""),
        ("2Btok", 2 * 10**9, "tok"),
        ("0.01Ttok", 10**10, "tok"),
        ("256_000smp", 256000, "smp"),
        ("2.5ep", Fraction(5, 2), "ep"),
        ("10%", 10, "%"),
        ("0.1x", Fraction(1, 10), "x"),
        ("1E3x", 1000, "x"),
        ("1e-99x", Fraction(1, 10**99), "x"),
        ("0e9999", 0, ""),
    ],
)
def test_numbers_are_exact(text, exact, unit):
    found = value(text)
    assert (found.value, found.unit, found.text) == (exact, unit, text)


def test_statements():
    text = 'let w = 5; lr = a; lr[head] = b; lr["a.b"] = c; lr[10] = d;'
    assert parse(text) == Script(
        (
            Let("w", number(5)),
            Assign(Target("lr"), A),
            Assign(Target("lr", "head"), B),
            Assign(Target("lr", "a.b"), C),
            Assign(Target("lr", 10), D),
        )
    )


def test_the_pragma_leaves_nothing():
    assert parse("lrdsl 1; a") == Script((Bare(A),))


def test_equality_ignores_spelling_and_place():
    assert parse("cosine( 10k ,) # down") == parse("cosine(10000)")


def spans(node, text):
    """What the node covers, and what its function, operator or name does."""
    names = ["span", "function_span", "op_span", "name_span"]
    return tuple(text[slice(*getattr(node, name))] for name in names if hasattr(node, name))


def test_spans_cover_what_was_written():
    text = "let w = 5%;\n lr[ head ] = ( a >> cosine(10 , to = -w) ) * 2"
    let, assign = parse(text).statements
    assert spans(let, text) == ("let w = 5%", "w")
    assert spans(assign, text) == (text[13:],)
    assert spans(assign.target, text) == ("lr[ head ]",)
    assert spans(assign.value, text) == ("( a >> cosine(10 , to = -w) ) * 2", "*")
    assert spans(assign.value.left, text) == ("( a >> cosine(10 , to = -w) )",)
    cosine = assign.value.left.parts[1]
    assert spans(cosine, text) == ("cosine(10 , to = -w)", "cosine")
    assert [spans(argument, text) for argument in cosine.arguments] == [("10",), ("to = -w",)]
    assert spans(cosine.arguments[1].value, text) == ("-w",)


def test_the_error_carries_the_text():
    with pytest.raises(ScheduleError) as caught:
        parse("cosine(10K)")
    assert caught.value.text == "cosine(10K)"
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
