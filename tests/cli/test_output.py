"""Terminals, colour, encodings, and failures of our own."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import Any

import pytest

import lrdsl
from lrdsl.cli import output

EXAMPLE = "warmup(500) >> cosine(10000, min=1e-6) | plateau(patience=3)"


def on_terminal(*arguments: str, **environment: str) -> tuple[int, str]:
    """Run the command with everything connected to a terminal."""
    parent, child = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "PYTHONUTF8": "1", **environment}
    env = {name: value for name, value in env.items() if value}
    with subprocess.Popen(
        [sys.executable, "-m", "lrdsl", *arguments], stdin=child, stdout=child, stderr=child, env=env
    ) as process:
        os.close(child)
        shown = b""
        try:
            while chunk := os.read(parent, 65536):
                shown += chunk
        except OSError:  # Linux's way to say that the other end is closed
            pass
        os.close(parent)
    return process.returncode, shown.decode().replace("\r\n", "\n")


def test_a_terminal_gets_colour() -> None:
    code, shown = on_terminal("plot", EXAMPLE, NO_COLOR="")
    assert code == 0
    assert "\x1b[34m" in shown
    assert "\x1b[" not in on_terminal("plot", EXAMPLE, NO_COLOR="1")[1]


def test_diagnostics_on_a_terminal() -> None:
    code, shown = on_terminal("check", "cosin(9)", NO_COLOR="")
    assert code == 1
    assert "\x1b[31m\x1b[1mE0204\x1b[0m: unknown function" in shown
    assert "\x1b[" not in on_terminal("check", "cosin(9)", NO_COLOR="1")[1]


def test_tables_on_a_terminal() -> None:
    _, shown = on_terminal("explain", EXAMPLE, NO_COLOR="")
    assert "\x1b[1m" in shown
    assert "cosine(10000, to=1e-6)" in shown
    assert "\x1b[" not in on_terminal("explain", EXAMPLE, NO_COLOR="1")[1]


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-m", "lrdsl", *arguments], capture_output=True, env=env)


def test_another_encoding_gets_ascii() -> None:
    for arguments in (("plot", EXAMPLE), ("explain", EXAMPLE), ("--help",), ("plot", "--help")):
        ran = command(*arguments, PYTHONUTF8="0", PYTHONIOENCODING="ascii")
        assert (ran.returncode, ran.stderr) == (0, b"")
        assert ran.stdout.isascii()


def test_characters_that_the_encoding_lacks() -> None:
    ran = command("check", "hold() # ×", "cosine(×)", PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert ran.returncode == 1
    assert b"E0101" in ran.stderr
    assert b"Traceback" not in ran.stderr


def test_python_m_lrdsl() -> None:
    ran = command("--version")
    assert ran.stdout.decode() == f"lrdsl {lrdsl.__version__}\n"


def test_help_shows_every_verb(run: Any) -> None:
    shown = run("--help").out
    for verb in ("plot", "check", "fmt", "explain", "list", "doctor"):
        assert f"\n  {verb} " in shown
        ran = run(verb, "--help")
        assert (ran.code, ran.err) == (0, "")
        assert "Usage: lrdsl " + verb in ran.out


def test_no_verb_is_wrong_usage(run: Any) -> None:
    assert run().code == 2


def test_an_internal_error_asks_for_a_report(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("oh no")

    monkeypatch.setattr("lrdsl.plotting.curve.of", broken)
    ran = run("plot", "cosine(9)")
    assert (ran.code, ran.out) == (70, "")
    assert ran.err.startswith("lrdsl: internal error: RuntimeError: oh no at tests.cli.test_output:")
    assert "`lrdsl doctor`" in ran.err
    assert "Traceback" not in ran.err


def test_an_import_error_of_our_own_is_internal(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ImportError("no module named x", name="x")

    monkeypatch.setattr("lrdsl.plotting.curve.of", broken)
    assert run("plot", "cosine(9)").code == 70


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        ("pass `steps_per_epoch=...`", "pass `--steps-per-epoch`"),
        ("pass `params=...`", "pass `--param`"),
        ('pass `bases={"lr[head]": ...}`', "pass `--base lr[head]=...`"),
        ("did you mean `lr`?", "did you mean `lr`?"),
    ],
)
def test_hints_speak_of_options(hint: str, shown: str) -> None:
    error = lrdsl.ScheduleError("E0401", "something is missing", (0, 1), hint, "x")
    assert output.rendered(error).endswith(f"^ {shown}")


def test_an_error_without_a_place() -> None:
    assert output.rendered(lrdsl.ScheduleError("E0402", "wrong")) == "E0402: wrong"
