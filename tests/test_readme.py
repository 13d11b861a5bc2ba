"""README and docs say what the program says: outputs, examples and docstrings are run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import lrdsl

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = {
    "plot": ("plot", "--text", "--base-lr", "3e-4"),
    "explain": ("explain", "--base-lr", "3e-4", "--total-steps", "10000"),
    "error": ("check",),
}
BLOCKS = re.findall(r"<!-- (plot|explain|error): (.*?) -->\n```text\n(.*?)\n```", README, re.DOTALL)


def run(verb: str, text: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "lrdsl", COMMANDS[verb][0], text, *COMMANDS[verb][1:]],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "COLUMNS": "80"},
        check=False,
    )
    return (done.stdout + done.stderr).rstrip("\n")


def test_readme_has_outputs() -> None:
    assert {verb for verb, _, _ in BLOCKS} == set(COMMANDS)


@pytest.mark.parametrize(("verb", "text", "shown"), BLOCKS, ids=[verb for verb, _, _ in BLOCKS])
def test_readme_output(verb: str, text: str, shown: str) -> None:
    assert run(verb, text) == shown


def test_readme_picture_is_of_the_text_shown(tmp_path: Path) -> None:
    text = re.search(r'schedule="(.*?)"', README)
    assert text
    picture = tmp_path / "readme.svg"
    command = [sys.executable, "-m", "lrdsl", "plot", text[1], "--base-lr", "3e-4", "--out", str(picture)]
    subprocess.run(command, check=True, cwd=ROOT)
    assert picture.read_text("utf-8") == (ROOT / "docs/images/readme.svg").read_text("utf-8")


@pytest.mark.parametrize("path", ["README.md", "docs/language.md"])
def test_console_examples(path: str) -> None:
    failed, _ = doctest.testfile(str(ROOT / path), module_relative=False)
    assert failed == 0


def modules() -> list[str]:
    found = [
        m.name for m in pkgutil.walk_packages(lrdsl.__path__, "lrdsl.") if not m.name.endswith(("__main__", "._C"))
    ]
    return ["lrdsl", *found]


@pytest.mark.parametrize("name", modules())
def test_docstring_examples(name: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importlib.import_module(name)
    except ImportError as error:
        if not str(error).startswith("this needs "):
            raise  # a helper that is broken, not one whose framework is missing
        pytest.skip(f"not run: {error}")
    failed, _ = doctest.testmod(module)
    assert failed == 0


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "LRScheduler", "compile", "groups", "Schedule"])
def test_the_public_names_are_documented(name: str) -> None:
    assert (getattr(lrdsl, name).__doc__ or "").strip()


def test_every_primitive_has_a_formula_an_example_and_a_source() -> None:
    from lrdsl.primitives import MODIFIERS, SEGMENTS

    for name, primitive in {**SEGMENTS, **MODIFIERS}.items():
        doc = primitive.doc
        assert "Example:" in doc, name
        assert "Args:" in doc, name
        assert "Source:" in doc or name in ("hold", "scale"), name
        for parameter in primitive.parameters:
            assert re.search(rf"^\s+{parameter.name}: ", doc, re.MULTILINE), (name, parameter.name)


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
