"""Random trees of the language, for Hypothesis."""

from fractions import Fraction

from hypothesis import strategies as st

from lrdsl.syntax import tree

KEYWORDS = {"let", "true", "false", "rest", "lrdsl"}

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,7}", fullmatch=True).filter(lambda name: name not in KEYWORDS)
strings = st.text(st.characters(exclude_characters='"\\\n', exclude_categories=["Cs"]), max_size=12)
functions = st.sampled_from(["warmup", "plateau", "max", "f"]) | names
arguments = st.sampled_from(["n", "to", "from", "until", "factor"])
units = st.sampled_from(["", "%", "x", "ep", "tok", "smp"])


@st.composite
def numbers(draw):
    digits, exponent = draw(st.integers(0, 10**17)), draw(st.integers(-40, 40))
    return tree.Number(digits * Fraction(10) ** exponent, draw(units))


words = names.map(tree.Name) | st.booleans().map(tree.Flag) | st.just(tree.Rest())
leaves = numbers() | words | strings.map(tree.String)


@st.composite
def calls(draw, inner):
    positional = draw(st.lists(inner.map(tree.Argument), max_size=3))
    named = draw(st.lists(st.builds(tree.Argument, inner, arguments), max_size=2))
    return tree.Call(draw(functions), (*positional, *named))


def branches(inner):
    parts = inner.filter(lambda node: not isinstance(node, tree.Then))
    return st.one_of(
        calls(inner),
        st.lists(inner, max_size=3).map(tuple).map(tree.Items),
        inner.map(tree.Negate),
        st.builds(tree.Binary, st.sampled_from(["+", "-", "*", "/", "**"]), inner, inner),
        st.builds(tree.Compare, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), inner, inner),
        st.lists(parts, min_size=2, max_size=4).map(tuple).map(tree.Then),
        st.builds(tree.Pipe, inner, inner),
    )


expressions = st.recursive(leaves, branches, max_leaves=20)
targets = st.builds(tree.Target, names, st.none() | strings | st.integers(0, 99))


def scripts():
    """Whole texts."""
    lets, assigns = st.builds(tree.Let, names, expressions), st.builds(tree.Assign, targets, expressions)
    statements = lets | assigns | expressions.map(tree.Bare)
    return st.lists(statements, min_size=1, max_size=3).map(tuple).map(tree.Script)
