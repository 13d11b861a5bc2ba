"""Texts in configs and shells come back as the same Programs; what needs no framework."""

from __future__ import annotations

import configparser
import json
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

import lrdsl

TEXTS = {
    "pipes": "warmup(500) >> cosine(10000, min=1e-6) | plateau(patience=3)",
    "quotes": 'warmup(500) >> cosine(rest) | plateau(metric="val_loss")',
    "shares": "lr = warmup(5%) >> cosine(rest); weight_decay = 0.5 * linear(rest)",
    "lists": "let g = 0.1; multistep([30%, 60%], gamma=g) * max(0.5, cosine(10k) / 2)",
}
LINES = "warmup(500)  # slowly\n>> cosine(rest)  # and down\n"


def programs(text: str | float) -> dict[Any, bytes]:
    """What a text compiles to, to the bit."""
    context: dict[str, Any] = {"base_lr": 1e-3, "total_steps": 20_000, "bases": {"weight_decay": 0.1}}
    return {key: track.program.pack() for key, track in lrdsl.compile(text, **context).tracks.items()}


def ini(document: str) -> str:
    parser = configparser.ConfigParser()
    parser.read_string(document)
    return parser["train"]["lr"]


def bash(command: str, folder: Path | None = None, shell: str = "bash") -> str:
    if shutil.which(shell) is None:
        pytest.skip(f"not run: {shell} is not installed")
    done = subprocess.run([shell, "-c", command], capture_output=True, text=True, cwd=folder)
    return done.stdout if done.returncode == 0 else done.stderr


def make(document: str) -> str:
    if shutil.which("make") is None:
        pytest.skip("not run: make is not installed")
    done = subprocess.run(["make", "-s", "-f", "-"], input=document, capture_output=True, text=True)
    return done.stdout


PLACES: dict[str, tuple[Callable[[str], str], Callable[[str], Any]]] = {
    "YAML": (lambda text: f"lr: {text}\n", lambda document: yaml.safe_load(document)["lr"]),
    "YAML in braces": (lambda text: f"{{lr: '{text}', n: 1}}", lambda document: yaml.safe_load(document)["lr"]),
    "YAML block": (
        lambda text: "lr: >-\n  " + text.replace(" >> ", "\n  >> ").replace(" | ", "\n  | ") + "\n",
        lambda document: yaml.safe_load(document)["lr"],
    ),
    "TOML": (lambda text: f"lr = '{text}'", lambda document: tomllib.loads(document)["lr"]),
    "JSON": (lambda text: json.dumps({"lr": text}), lambda document: json.loads(document)["lr"]),
    "INI": (lambda text: "[train]\nlr = " + text.replace("%", "%%"), ini),
    "bash": (lambda text: f"printf %s '{text}'", bash),
    "sh": (lambda text: f"printf %s '{text}'", partial(bash, shell="sh")),
    "zsh": (lambda text: f"printf %s '{text}'", partial(bash, shell="zsh")),
    "make": (lambda text: f"LR = {text}\nall:\n\t@printf %s '$(LR)'\n", make),
}
"""How a text is written there, and what the real parser gives back."""


def test_the_texts_differ() -> None:
    assert len({str(programs(text)) for text in TEXTS.values()}) == len(TEXTS)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("place", PLACES)
def test_a_text_comes_back_as_the_same_programs(place: str, text: str) -> None:
    write, read = PLACES[place]
    assert programs(read(write(text))) == programs(text)


@pytest.mark.parametrize(
    "read",
    [
        lambda text: yaml.safe_load("lr: |\n" + "".join(f"  {line}\n" for line in text.splitlines()))["lr"],
        lambda text: tomllib.loads(f"lr = '''{text}'''")["lr"],
        lambda text: json.loads(json.dumps(text)),
        lambda text: bash(f"printf %s '{text}'"),
    ],
    ids=["YAML |", "TOML '''", "JSON", "bash"],
)
def test_lines_with_comments(read: Callable[[str], str]) -> None:
    assert programs(read(LINES)) == programs("warmup(500) >> cosine(rest)")


def test_a_number_is_a_constant() -> None:
    for document in ("lr: 0.001", "lr: 1.0e-3"):
        assert programs(yaml.safe_load(document)["lr"]) == programs("constant(1e-3)")
    assert programs(tomllib.loads("lr = 1e-3")["lr"]) == programs("constant(1e-3)")
    assert programs(json.loads('{"lr": 1e-3}')["lr"]) == programs("constant(1e-3)")


def test_what_the_page_warns_of(tmp_path: Path) -> None:
    folded = yaml.safe_load("lr: >-\n" + "".join(f"  {line}\n" for line in LINES.splitlines()))["lr"]
    assert programs(folded) == programs("warmup(500)")  # the comment goes on to the end
    assert yaml.safe_load("lr: warmup(5) #5")["lr"] == "warmup(5)"
    with pytest.raises(yaml.YAMLError):
        yaml.safe_load("{lr: points([0, 5], [1, 2]) | take(3)}")
    with pytest.raises(lrdsl.ScheduleError, match=r"write `constant\(1e-3\)`"):
        programs(yaml.safe_load("lr: 1e-3")["lr"])
    with pytest.raises(configparser.InterpolationSyntaxError):
        ini("[train]\nlr = warmup(5%) >> cosine(rest)")
    assert "syntax error" in bash("printf %s warmup(500)")
    assert bash("printf %s hold >> cosine", tmp_path) == "" and (tmp_path / "cosine").read_text() == "hold"
    assert make("LR = warmup(5) # >> cosine(5)\nall:\n\t@printf %s '$(LR)'\n").rstrip() == "warmup(5)"
