import pytest

from lrdsl.language.hints import FOREIGN, nearest

FUNCTIONS = ["warmup", "hold", "constant", "linear", "cosine", "polynomial", "geometric", "exponential", "step", "expr"]
FUNCTIONS += ["multistep", "one_minus_sqrt", "inverse_sqrt", "inverse_time", "repeat", "cycle", "plateau"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("cosin", "cosine"),  # spelling
        ("platau", "plateau"),
        ("COSINE", "cosine"),
        ("geo", "geometric"),  # a prefix, which difflib finds too far
        ("CosineAnnealingLR", "cosine"),
        ("poly", "polynomial"),  # other libraries
        ("const", "constant"),
        ("expo", "geometric"),
        ("exp decay", "exponential"),
        ("rsqrt", "inverse_sqrt"),
        ("steps", "multistep"),
        ("sqrt", "one_minus_sqrt"),
        ("lr_lambda", "expr"),
        ("foo", None),
        ("", None),
    ],
)
def test_functions(word, meant):
    assert nearest(word, FUNCTIONS) == meant


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("mim", "min"),
        ("mn", "min"),
        ("eta_min", "to"),
        ("min_lr", "to"),
        ("end_value", "to"),
        ("T_max", "n"),
        ("total_iters", "n"),
        ("lenght", None),
    ],
)
def test_arguments_of_cosine(word, meant):
    assert nearest(word, ["n", "to", "from", "until", "min"]) == meant


def test_another_library_s_word_is_only_a_hint_where_ours_is_possible():
    assert nearest("min_lr", ["patience", "factor", "min"]) == "min"
    assert nearest("milestones", ["n", "to"]) is None


def test_no_foreign_word_is_its_own_meaning():
    assert not [word for word, meaning in FOREIGN.items() if word == meaning]
