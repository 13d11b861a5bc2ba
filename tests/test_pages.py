"""The longer pages of the codes: every code has one, and every example of every page does what it says."""

import re

import pytest

import lrdsl
from lrdsl import pages
from lrdsl.errors import CODES, ScheduleError
from tests.language.corpus import CONTEXT

EXAMPLES = [(code, example) for code in CODES for example in pages.examples(pages.read(code))]
NAMES = [f"{code}-{'right' if example.right else 'wrong'}-{i}" for i, (code, example) in enumerate(EXAMPLES)]


def told(example):
    """Codes that an example gives, and the whole message of each."""
    try:
        if example.language == "python":
            exec(example.code, {"lrdsl": lrdsl})
            return {}
        schedule = lrdsl.compile(example.code, **pages.CONTEXT)
    except ScheduleError as error:
        return {error.code: str(error)}
    return {note.code: note.render(example.code) for note in reversed(schedule.notes)}


@pytest.mark.parametrize(("code", "example"), EXAMPLES, ids=NAMES)
def test_example(code, example):
    found = told(example)
    if example.right:
        assert code not in found
        assert not [other for other in found if other.startswith("E")]
        return
    assert code in found
    assert example.message == found[code], "run `python -m lrdsl.codegen`"
    if code.startswith("E"):
        assert list(found) == [code]


def test_every_code_has_a_page_and_no_page_lacks_its_code():
    assert {path.stem for path in pages.FOLDER.glob("*.md")} == set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_page_explains_and_shows_both_sides(code):
    page = pages.read(code)
    assert page.startswith(f"# {code}: {CODES[code]}\n")
    prose = re.sub(r"```.*?```", "", page.partition("\n")[2], flags=re.DOTALL).strip()
    assert len(prose.split()) >= 12
    marks = [example.right for example in pages.examples(page)]
    assert False in marks and True in marks and marks[0] is False
    assert page.count("```") == 2 * (len(marks) + sum(bool(example.message) for example in pages.examples(page)))
    assert max(map(len, prose.splitlines())) <= 88


def test_a_page_in_a_terminal():
    assert pages.plain(pages.read("E0405")).startswith("E0405: a length must be a whole number of steps\n\n")
    shown = pages.plain(
        "# X: y\n\nWhy.\n\n```lrdsl wrong\na b\n```\n\n```text\nX: no\n  |\n1 | a b\n```\n\n```lrdsl right\na\n```\n"
    )
    assert shown == "X: y\n\nWhy.\n\n    X: no\n      |\n    1 | a b\n\n    a"


def test_examples_are_read_like_the_texts_of_the_specification():
    assert {**pages.CONTEXT, "params": CONTEXT["params"], "bases": {}} == {**CONTEXT, "bases": {}}


def test_explaining_a_code_reads_one_file_and_compiles_nothing():
    import subprocess
    import sys

    script = (
        "import sys; from lrdsl.cli.main import main\n"
        "try: main(['explain', 'E0503'])\n"
        "finally: print(*({'lark', 'numpy', 'lrdsl.pages.filling'} & set(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("E0503: ")
    assert ran.stderr.split() == []
