"""Short start-up: what is imported, and how long it takes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lrdsl.evaluators import native, python_only

EXAMPLE = "warmup(500) >> cosine(10000, min=1e-6) | plateau(patience=3)"
# The Python path evaluates arrays with NumPy; the native one needs none.
NUMPY = {"numpy"} if native.extension() is not None and not python_only() else set()
VERBS = [
    ("--help",),
    ("plot", EXAMPLE, "--text"),
    ("plot", EXAMPLE, "--out", "x.svg"),
    ("plot", EXAMPLE, "--out", "x.png"),
    ("plot", EXAMPLE, "--json"),
    ("check", EXAMPLE),
    ("fmt", EXAMPLE),
    ("explain", EXAMPLE),
    ("list",),
    ("doctor",),
]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)])}


@pytest.mark.parametrize("arguments", VERBS, ids=lambda a: " ".join(a).replace(EXAMPLE, "TEXT"))
def test_torch_is_never_imported(arguments: tuple[str, ...], tmp_path: Path) -> None:
    if "x.png" in arguments:
        pytest.importorskip("matplotlib", reason="a PNG needs the extra [plot]")
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise SystemExit('torch was imported')\n")
    command = [sys.executable, "-m", "lrdsl", *arguments]
    ran = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "spared"),
    [
        (VERBS[0], {*NUMPY, "lark", "rich", "yaml", "lrdsl.plotting", "lrdsl.cli.plot", "lrdsl.cli.doctor"}),
        (VERBS[1], {*NUMPY, "lark", "rich", "yaml", "lrdsl.plotting.svg", "lrdsl.cli.doctor"}),
        (VERBS[2], {*NUMPY, "lark", "rich", "yaml", "lrdsl.plotting.terminal", "lrdsl.plotting.png"}),
    ],
    ids=["help", "text", "svg"],
)
def test_nothing_needless_is_imported(arguments: tuple[str, ...], spared: set[str], tmp_path: Path) -> None:
    code = (
        "import sys; from lrdsl.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *arguments]
    ran = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True)
    assert ran.returncode == 0
    assert spared & set(ran.stderr.split()) == set()


def seconds(*arguments: str, cwd: Path) -> float:
    def once() -> float:
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, *arguments], cwd=cwd, env=environment(cwd), stdout=subprocess.DEVNULL, check=True
        )
        return time.perf_counter() - begin

    return statistics.median(once() for _ in range(5))


@pytest.mark.timing
@pytest.mark.parametrize(("arguments", "budget"), [(VERBS[0], 0.12), (VERBS[1], 0.35), (VERBS[2], 0.35)])
def test_budget(arguments: tuple[str, ...], budget: float, tmp_path: Path) -> None:
    bare = seconds("-c", "pass", cwd=tmp_path)
    assert seconds("-m", "lrdsl", *arguments, cwd=tmp_path) - bare < budget
