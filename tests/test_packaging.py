"""What the archive holds, and what setup.py does when the native module cannot be built."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEAVE_OUT = shutil.ignore_patterns("build", "*.so", "_build.json", "__pycache__", "*.egg-info")


@pytest.fixture
def tree(tmp_path):
    """A copy of what setup.py needs, to build in."""
    copy = tmp_path / "tree"
    for folder in ("lrdsl", "csrc", "grammars"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=LEAVE_OUT)
    for file in ("setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE"):
        shutil.copy(ROOT / file, copy)
    (copy / "README.md").write_text("# lrdsl\n")
    return copy


# cmake and ninja of this environment, activated or not.
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def setup(tree, *arguments, **environment):
    pytest.importorskip("setuptools", reason="not run: setuptools is not installed")
    command = [sys.executable, "-W", "ignore", "setup.py", "--quiet", *arguments]
    return subprocess.run(
        command, cwd=tree, env={**os.environ, "PATH": PATH, **environment}, capture_output=True, text=True
    )


def record(tree):
    return json.loads((tree / "lrdsl" / "_build.json").read_text())


def test_archive_holds_the_sources(tree):
    done = setup(tree, "sdist", "--dist-dir", "dist")
    assert done.returncode == 0, done.stderr
    (archive,) = (tree / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    wanted = {
        path.relative_to(ROOT).as_posix() for folder in ("csrc", "grammars") for path in (ROOT / folder).iterdir()
    }
    assert wanted | {"setup.py", "pyproject.toml", "LICENSE", "lrdsl/py.typed", "lrdsl/syntax/tables.json"} <= names
    assert "lrdsl/_build.json" not in names


def test_off_builds_nothing(tree):
    done = setup(tree, "build_ext", "--inplace", LRDSL_EXT="off")
    assert done.returncode == 0, done.stderr
    found = record(tree)
    assert (found["state"], found["why"]) == ("off", "LRDSL_EXT=off was set at installation")
    assert not list((tree / "lrdsl").glob("_C*.so"))


def test_unknown_mode_is_an_error(tree):
    done = setup(tree, "build_ext", "--inplace", LRDSL_EXT="maybe")
    assert done.returncode == 1
    assert "LRDSL_EXT: expected one of auto, require, off, got 'maybe'" in done.stderr


@pytest.fixture
def broken(tree):
    """A tree on a machine that has every tool, and a compiler that does not work."""
    pytest.importorskip("pybind11", reason="not run: pybind11 is not installed")
    for name in ("cmake", "ninja"):
        if shutil.which(name, path=PATH) is None:
            pytest.skip(f"not run: {name} not found")
    return tree


def test_broken_compiler_is_recorded_and_survived(broken):
    (broken / "lrdsl" / "_C.old.so").write_text("a module of an earlier build")
    done = setup(broken, "build_ext", "--inplace", LRDSL_EXT="auto", CXX="/bin/false")
    assert done.returncode == 0, done.stderr
    assert "WITHOUT its native module: configuring with CMake failed" in done.stderr
    found = record(broken)
    assert (found["state"], found["what"]) == ("failed", "configuring with CMake")
    assert "compiler" in found["why"]
    assert any("/bin/false" in line for line in found["log"])
    assert not list((broken / "lrdsl").glob("_C*.so")), "a stale module must not outlive a failed build"


def test_required_build_fails(broken):
    done = setup(broken, "build_ext", "--inplace", LRDSL_EXT="require", CXX="/bin/false")
    assert done.returncode == 1
    assert "configuring with CMake failed" in done.stderr
    assert not (broken / "lrdsl" / "_build.json").exists()


def test_missing_tool_is_named(tree):
    pytest.importorskip("pybind11", reason="not run: pybind11 is not installed")
    done = setup(tree, "build_ext", "--inplace", LRDSL_EXT="auto", PATH="/nowhere")
    assert done.returncode == 0, done.stderr
    assert record(tree)["why"] == "`cmake` is not on PATH"


def test_record_is_read_back(tree, monkeypatch):
    from lrdsl import build_record

    setup(tree, "build_ext", "--inplace", LRDSL_EXT="off")
    monkeypatch.setattr(build_record, "_FILE", tree / "lrdsl" / "_build.json")
    assert build_record.record() == record(tree)
    for unusable in (tree / "nothing.json", tree / "setup.py"):
        monkeypatch.setattr(build_record, "_FILE", unusable)
        assert build_record.record() is None


def test_version_is_told_once(tree):
    import lrdsl

    done = setup(tree, "--version")
    assert done.stdout.split() == [lrdsl.__version__]
