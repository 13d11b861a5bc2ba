import json
import os
import random
import subprocess
import sys

import lark
import pytest

from lrdsl.errors import ScheduleError
from lrdsl.syntax import parser, tables
from lrdsl.syntax.builder import Builder
from lrdsl.syntax.lalr import MisplacedError, Parser, UnreadableError, Word
from lrdsl.syntax.parser import parse
from lrdsl.syntax.tables import END
from tests.fuzz.corpus import texts
from tests.fuzz.mutators import mutated_text
from tests.language.corpus import ACCEPTED

MUTATIONS = 3000


class Checked:
    """The builder behind lark: words instead of lark's tokens."""

    def __getattr__(self, name):
        method = getattr(Builder(), name)
        if name.isupper():
            return lambda token: method(word(token))
        return lambda children: method([word(child) if isinstance(child, lark.Token) else child for child in children])


def word(token):
    return Word(token.type, str(token), (token.start_pos, token.end_pos))


@pytest.fixture(scope="module")
def larks():
    return lark.Lark(tables.grammar(), parser="lalr", lexer="basic", transformer=Checked())


def ours(text):
    """A tree, or where and why there is none."""
    try:
        return parser._parser().parse(text)
    except UnreadableError as error:
        return "unreadable", error.at
    except MisplacedError as error:
        return "misplaced", None if error.word.kind == END else error.word.span[0]
    except ScheduleError as error:
        return error.code, error.span


def theirs(larks, text):
    try:
        return larks.parse(text)
    except lark.UnexpectedCharacters as error:
        return "unreadable", error.pos_in_stream
    except lark.UnexpectedToken as error:
        return "misplaced", None if error.token.type == "$END" else error.token.start_pos
    except ScheduleError as error:
        return error.code, error.span


def test_the_parser_reads_every_text_as_lark_does(larks):
    rng, seeds = random.Random(1), texts()
    damaged = [mutated_text(rng.choice(seeds), seeds, rng) for _ in range(MUTATIONS)]
    results = [(ours(text), theirs(larks, text), text) for text in [*seeds, *damaged]]
    for found, expected, text in results:
        assert found == expected, text
    kinds = [found[0] if isinstance(found, tuple) else "tree" for found, _, _ in results]
    assert min(map(kinds.count, ("tree", "misplaced", "unreadable"))) > MUTATIONS // 20


def test_words_are_those_of_lark(larks):
    text = ";\n".join(ACCEPTED)  # lark makes its lexer anew for every text
    assert list(parser._parser().words(text)) == [word(token) for token in larks.lex(text)]


def stored():
    return json.loads(tables.path().read_text())


def test_tables_belong_to_the_grammar():
    assert stored()["grammar"] == tables._digest(), "run `python -m lrdsl.codegen`"


def test_tables_are_what_is_generated():
    assert tables.path().read_text() == tables.generate(), "run `python -m lrdsl.codegen`"


@pytest.mark.parametrize("seed", ["1", "2"])
def test_generated_text_does_not_depend_on_the_process(seed):
    code = "import sys; from lrdsl.syntax.tables import generate; sys.stdout.write(generate())"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == tables.generate()


@pytest.mark.parametrize("content", [None, "{}", '{"grammar": "other"}'], ids=["missing", "empty", "stale"])
def test_without_its_tables_the_parser_is_built_from_the_grammar(content, tmp_path, monkeypatch):
    path = tmp_path / "tables.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr(tables, "path", lambda: path)
    fresh = Parser(tables.load(), Builder())
    for text in ACCEPTED:
        assert fresh.parse(text) == parse(text)


def test_grammar_is_found_beside_the_package_or_inside_it(tmp_path, monkeypatch):
    package = tmp_path / "site" / "lrdsl"
    monkeypatch.setattr(tables, "_PACKAGE", package)
    with pytest.raises(FileNotFoundError, match="grammar of lrdsl is missing"):
        tables.grammar()
    for folder, text in [(tmp_path / "site", "source tree"), (package, "installed")]:
        (folder / "grammars").mkdir(parents=True)
        (folder / "grammars" / "schedule.lark").write_text(text)
        assert tables.grammar() == text


def test_grammar_has_no_conflicts():
    pytest.importorskip("interegular", reason="lark compares terminals with interegular")
    lark.Lark(tables.grammar(), parser="lalr", lexer="basic", strict=True)


def test_compiling_imports_no_lark():
    code = "import sys, lrdsl; lrdsl.compile('hold()', base_lr=1.0); assert 'lark' not in sys.modules"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
