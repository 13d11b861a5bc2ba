import json
import os
import subprocess
import sys

import lark
import pytest

from lrdsl.syntax import tables
from lrdsl.syntax.builder import Builder
from lrdsl.syntax.parser import parse
from tests.language.corpus import ACCEPTED


def stored():
    return json.loads(tables.path().read_text())


def test_tables_belong_to_the_grammar():
    assert stored()["stamp"]["grammar"] == tables._stamp()["grammar"], "run `python -m lrdsl.codegen`"


@pytest.mark.skipif(stored()["stamp"]["lark"] != lark.__version__, reason="tables of another version of lark")
def test_tables_are_what_is_generated():
    assert tables.path().read_text() == tables.generate(), "run `python -m lrdsl.codegen`"


@pytest.mark.parametrize("seed", ["1", "2"])
def test_generated_text_does_not_depend_on_the_process(seed):
    code = "import sys; from lrdsl.syntax.tables import generate; sys.stdout.write(generate())"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == tables.generate()


@pytest.mark.parametrize("content", [None, "{}", '{"stamp": {"grammar": "other"}}'], ids=["missing", "empty", "stale"])
def test_without_its_tables_the_parser_is_built_from_the_grammar(content, tmp_path, monkeypatch):
    path = tmp_path / "tables.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr(tables, "path", lambda: path)
    parser = tables.load(Builder())
    for text in ACCEPTED:
        assert parser.parse(text) == parse(text)


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


def test_lark_is_not_imported_before_it_is_needed():
    code = "import sys, lrdsl.syntax.parser; assert 'lark' not in sys.modules"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
