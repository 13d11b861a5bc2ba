"""Pygments: colours for schedules, found by the name ``lrdsl`` once this library is installed."""

from lrdsl import versions
from lrdsl.language.formula import FOLDS, FUNCTIONS
from lrdsl.primitives import MODIFIERS, SEGMENTS

versions.require("pygments", "2")

from pygments.lexer import RegexLexer, words  # noqa: E402
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Whitespace  # noqa: E402


class ScheduleLexer(RegexLexer):
    """The tokens of a schedule.

    Segments are functions, modifiers decorators and what computes builtins: an unknown name stands out by its lack of
    colour.

    Example:
        >>> from pygments.token import Name
        >>> [text for kind, text in ScheduleLexer().get_tokens("warmup(500) >> cosin(rest)") if kind is Name.Function]
        ['warmup']
    """

    name = "lrdsl"
    url = "https://pypi.org/project/lrdsl"
    aliases = ("lrdsl",)
    filenames = ("*.lrdsl",)
    tokens = {  # noqa: RUF012
        "root": [
            (r"\s+", Whitespace),
            (r"#[^\n]*", Comment.Single),
            (r'"[^"\\\n]*"', String),
            (r"(?:\d(?:_?\d)*)(?:\.\d(?:_?\d)*)?(?:[eE][+-]?\d+)?[kMBT]?(?:%|x|ep|tok|smp)?(?![\w.%])", Number),
            (words(("let", "lrdsl"), suffix=r"\b"), Keyword.Declaration),
            (words(("true", "false", "rest", "none"), suffix=r"\b"), Keyword.Constant),
            (words(SEGMENTS, suffix=r"(?=\s*\()"), Name.Function),
            (words(MODIFIERS, suffix=r"(?=\s*\()"), Name.Decorator),
            (words((*FUNCTIONS, *FOLDS), suffix=r"(?=\s*\()"), Name.Builtin),
            (r"[A-Za-z_]\w*", Name),
            (r">>|\*\*|[<>=!]=|[-+*/|<>=]", Operator),
            (r"[()\[\],;]", Punctuation),
        ]
    }
