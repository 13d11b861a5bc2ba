"""`lrdsl plot --metric`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

TEXT = "hold() | plateau(patience=0, factor=0.5)"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "losses.csv"
    path.write_text("step, loss, other\n10,1.0,5\n30,1.0,\n\n20,1,nan\n1k,0.5,\n")
    return path


def test_reports_drive_the_schedule(run: Any, file: Path) -> None:
    ran = run("plot", TEXT, "--metric", str(file), "--at", "9", "10", "20", "29", "30", "2000", "--json")
    assert json.loads(ran.out)[0]["values"] == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    (found,) = json.loads(run("plot", TEXT, "--metric", str(file), "--json").out)
    assert (found["moves"], found["steps"][-1], found["note"]) == ([20, 30], 1000, "")


def test_a_picture(run: Any, file: Path, tmp_path: Path) -> None:
    for name in ("x.svg", "x.png"):
        if name == "x.png":
            pytest.importorskip("matplotlib", reason="a PNG needs the extra [plot]")
        assert run("plot", TEXT, "hold()", "--metric", str(file), "--out", str(tmp_path / name)).code == 0
    assert "loss</text>" in (tmp_path / "x.svg").read_text()
    assert "other</text>" not in (tmp_path / "x.svg").read_text()
    assert run("plot", TEXT, "--metric", str(file), "--text").code == 0


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "expected a first line such as step,loss"),
        ("\n", "expected a first line such as step,loss"),
        ("loss,step\n1,2\n", "expected a first line such as step,loss"),
        ("step,loss\n1\n", "line 2: expected 2 cells, got 1"),
        ("step,loss\n1,2\n1.5,2\n", "line 3: expected a whole number of steps such as 500 or 10k, got '1.5'"),
        ("step,loss\n-1,2\n", "line 2: expected a whole number of steps such as 500 or 10k, got '-1'"),
        ("step,loss\n1,low\n", "line 2: expected a number, got 'low'"),
        ("step,val_loss\n1,2\n", "--metric reports val_loss; the schedule listens to loss"),
        ("step,loss\n1,\n", "--metric reports nothing; the schedule listens to loss"),
    ],
)
def test_wrong_files(run: Any, tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(content)
    ran = run("plot", TEXT, "--metric", str(path))
    assert (ran.code, ran.out) == (2, "")
    assert complaint in " ".join(ran.err.split())


def test_no_file_and_no_listener(run: Any, file: Path) -> None:
    ran = run("plot", TEXT, "--metric", "nowhere.csv")
    assert (ran.code, "No such file or directory" in ran.err) == (2, True)
    ran = run("plot", "hold()", "--metric", str(file))
    assert (ran.code, "listens to no metric" in " ".join(ran.err.split())) == (2, True)
