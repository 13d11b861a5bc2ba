"""README's table and the pages of docs/frameworks say what the tests show."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.frameworks import table, works
from tests.frameworks.pasting import PAGES, block

README = table.README.read_text("utf-8")
RESULTS = json.loads(works.RESULTS.read_text("utf-8"))
TESTS = "".join(path.read_text("utf-8") for path in sorted(works.HERE.glob("test_*.py")))
NAMES = sorted(path.name for path in PAGES.glob("*.md"))


def test_table_is_of_the_results() -> None:
    assert table.readme(README, RESULTS) == README, "run `python -m tests.frameworks.table`"


def test_results_are_of_the_tests() -> None:
    listed = [(stack, what) for stack, entry in RESULTS["stacks"].items() for what in entry["rows"]]
    assert listed == works.rows(), "run `make frameworks`"


def test_everything_is_pinned_and_ran_as_pinned() -> None:
    pins = {}
    for path in sorted((table.README.parent / "requirements").glob("frameworks*.txt")):
        for line in path.read_text("utf-8").splitlines():
            if not line.startswith("#"):
                pin = re.fullmatch(r"([a-z0-9._-]+)(?:\[[a-z,]+\])?==([0-9][0-9a-z.]*)", line, re.IGNORECASE)
                assert pin, line
                assert pins.setdefault(pin[1], pin[2]) == pin[2]
    for stack, entry in RESULTS["stacks"].items():
        assert pins.get(works.STACKS[stack][1]) == entry["version"], stack


def test_nothing_failed() -> None:
    found = {result for entry in RESULTS["stacks"].values() for result in entry["rows"].values()}
    assert found <= {"passed", "not run"}


def test_every_stack_is_shown() -> None:
    assert set(works.STACKS) - {stack for stack, _ in works.rows()} == set()
    assert {page for page, _ in works.STACKS.values()} - set(NAMES) == set()


@pytest.mark.parametrize("page", NAMES)
def test_what_a_page_says_to_paste_is_run(page: str) -> None:
    assert block(page)
    assert re.search(rf'(paste|block)\(\s*"{page}"', TESTS)


@pytest.mark.parametrize("page", NAMES)
def test_links_lead_to_pages_and_from_them(page: str) -> None:
    assert f"(docs/frameworks/{page})" in README
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", (PAGES / page).read_text("utf-8")):
        assert (PAGES / target).exists(), target


def test_rows_are_read_from_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = "@pytest.mark.works"
    (tmp_path / "test_a.py").write_text(
        f"import missing\n{mark}('Optuna', 'b')\n{mark}('DDP', 'c')\ndef f(): ...\n{mark}('Optuna', 'a')\ndef g(): "
        "...\nworks = pytest.mark.works\n@works('TRL', 'd')\ndef h(): ..."
    )
    monkeypatch.setattr(works, "HERE", tmp_path)
    assert works.rows() == [("DDP", "c"), ("TRL", "d"), ("Optuna", "b"), ("Optuna", "a")]


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [({"passed"}, "passed"), ({"passed", "skipped"}, "not run"), (set(), "not run"), ({"passed", "failed"}, "failed")],
)
def test_a_row_passes_if_all_its_tests_do(outcomes: set[str], said: str) -> None:
    assert works.verdict(outcomes) == said


def test_table_says_what_did_not_pass() -> None:
    rows = {"one": "passed", "two": "failed", "three": "not run", "four": "passed"}
    made = table.table({"stacks": {"DDP": {"version": "2.13.0", "rows": rows}, "TRL": {"version": None, "rows": rows}}})
    assert made.splitlines()[2:] == [
        "| [DDP](docs/frameworks/ddp.md) | 2.13.0 | one · four; *not run:* three; **fails:** two |",
        "| [TRL](docs/frameworks/trl.md) | – | one · four; *not run:* three; **fails:** two |",
    ]


def test_results_are_written_by_a_run(tmp_path: Path) -> None:
    """With processes of xdist: reports bring the rows from the one that ran the test."""
    pytest.importorskip("xdist", reason="not run: pytest-xdist is not installed")
    (tmp_path / "conftest.py").write_text(
        "from pathlib import Path\nfrom tests.frameworks import works\nfrom tests.frameworks.conftest import "
        "pytest_addoption, pytest_configure, pytest_itemcollected\nworks.HERE = Path(__file__).parent"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = works(stack, what): a row")
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "@pytest.mark.works('DDP', 'good')\n@pytest.mark.parametrize('n', range(3))\ndef test_1(n): pass\n"
        "@pytest.mark.works('DDP', 'half')\n@pytest.mark.parametrize('n', range(3))\ndef test_2(n): assert n != 1\n"
        "@pytest.mark.works('DDP', 'out')\ndef test_3(): pytest.skip('not run: no reason')\n"
        "if False:\n    @pytest.mark.works('TRL', 'never collected')\n    def test_5(): pass\n"
        "@pytest.fixture\ndef broken(): raise ValueError\n"
        "@pytest.mark.works('TRL', 'fixture')\ndef test_4(broken): pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "xdist", "-n", "1", "--works", "out/results.json", "."]
    environment = {**os.environ, "PYTHONPATH": str(table.README.parent), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    stacks = json.loads((tmp_path / "out" / "results.json").read_text("utf-8"))["stacks"]
    assert {stack: entry["rows"] for stack, entry in stacks.items()} == {
        "DDP": {"good": "passed", "half": "failed", "out": "not run"},
        "TRL": {"fixture": "failed", "never collected": "not run"},
    }
    assert stacks["DDP"]["version"] == works.version("torch")
