"""The examples run, and write what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytest.importorskip("torch", reason="not run: torch is not installed")
pytest.importorskip("sklearn", reason="not run: scikit-learn is not installed")

ROOT = Path(__file__).resolve().parent.parent


def first_run(tmp_path: Path, config: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples/first_run.py"), str(config), "--out", str(tmp_path / "out")]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


def test_first_run_as_it_is(tmp_path: Path) -> None:
    done = first_run(tmp_path, ROOT / "examples/digits.yaml")
    assert done.returncode == 0, done.stderr
    start, end = map(float, re.fullmatch(r"loss (\S+) -> (\S+)", done.stdout.strip().splitlines()[-1]).groups())  # type: ignore[union-attr]
    assert end < start / 5
    assert "rate cut" in done.stdout  # the plateau of the example does cut
    assert (tmp_path / "out/schedule.svg").read_text("utf-8").startswith("<svg")
    assert (tmp_path / "out/training.png").read_bytes().startswith(b"\x89PNG")


def test_a_mistake_in_the_config_is_shown_with_its_place(tmp_path: Path) -> None:
    config = yaml.safe_load((ROOT / "examples/digits.yaml").read_text("utf-8"))
    config["train"]["schedule"] = "warmup(2ep) >> cosin(22ep)"
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(config), "utf-8")
    done = first_run(tmp_path, path)
    assert done.returncode == 1
    assert "bad.yaml: E0204: unknown function `cosin`" in done.stderr
    assert "Traceback" not in done.stderr
