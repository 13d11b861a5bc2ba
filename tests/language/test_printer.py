from fractions import Fraction

import pytest
from hypothesis import given

from lrdsl.language.printer import render
from lrdsl.syntax.parser import parse
from lrdsl.syntax.tree import Argument, Name, Node, Number, Target
from tests.language.corpus import ACCEPTED
from tests.language.trees import scripts


@given(scripts())
def test_a_tree_is_printed_and_read_back(tree):
    text = render(tree)
    assert parse(text) == tree
    assert render(parse(text)) == text
    assert "\n" not in text


@pytest.mark.parametrize("text", ACCEPTED)
def test_printing_is_idempotent(text):
    once = render(parse(text))
    assert render(parse(once)) == once


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("(warmup( 1k ) >> cosine(9k,min = +0.10x,)) # up, down", "warmup(1000) >> cosine(9000, to=0.1x)"),
        ("cosine(10)|plateau(min=0)", "cosine(10) | plateau(min=0)"),
        ("linear(10, min=1e-6)", "linear(10, to=1e-6)"),
        ("a>>(b>>c)", "a >> b >> c"),
        ("(a>>b)|c", "a >> b | c"),
        ("a>>(b|c)", "a >> (b | c)"),
        ("a|(b>>c)", "a | b >> c"),
        ("a|(b|c)", "a | (b | c)"),
        ("a+(b+c)", "a + (b + c)"),
        ("(a+b)+c", "a + b + c"),
        ("a-(-b)", "a - -b"),
        ("-(-1)", "--1"),
        ("-(a*b)", "-(a * b)"),
        ("(-a)*b", "-a * b"),
        ("(a>>b)*2", "(a >> b) * 2"),
        ("(-2)**2", "(-2) ** 2"),
        ("-(2**2)", "-2 ** 2"),
        ("(2**3)**4", "(2 ** 3) ** 4"),
        ("2**(3**4)", "2 ** 3 ** 4"),
        ("2**(-1)", "2 ** -1"),
        ("(a<b)==c", "(a < b) == c"),
        ('lr["head"]=a; lr["rest"]=b; lr["0"]=c; lr[00]=d;', 'lr[head] = a; lr["rest"] = b; lr["0"] = c; lr[0] = d'),
        ("lrdsl 1;let w=5 ;w", "let w = 5; w"),
        ('f([1,2,],true,"x",)', 'f([1, 2], true, "x")'),
    ],
)
def test_canonical_text(text, canonical):
    assert render(parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("10k", "10000"),
        ("1e4", "10000"),
        ("1e-6", "1e-6"),
        ("0.001", "0.001"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-5"),
        ("1.50e-7x", "1.5e-7x"),
        ("2Btok", "2000000000tok"),
        ("123456789e7", "1234567890000000"),
        ("1e16", "1e16"),
        ("1.25e300", "1.25e300"),
        ("0.0", "0"),
        ("1" * 63 + "k", "1" * 63 + "k"),  # longer than a literal may be without its suffix
    ],
)
def test_numbers(text, canonical):
    assert render(parse(text)) == canonical
    assert parse(canonical) == parse(text)


def test_parts_of_a_tree():
    assert render(Argument(Number(Fraction(1, 2)), "power")) == "power=0.5"
    assert render(Target("lr", "a b")) == 'lr["a b"]'
    assert render(Name("base")) == "base"
    with pytest.raises(TypeError, match="not a node"):
        render(Node())
