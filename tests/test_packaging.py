"""What the archive holds, and what setup.py does when a native module cannot be built."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
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
    assert {f"lrdsl/pages/{page.name}" for page in (ROOT / "lrdsl" / "pages").glob("*.md")} <= names
    assert "lrdsl/_build.json" not in names


def test_what_is_installed_has_the_files_it_reads(tree):
    done = setup(tree, "build_py", "--build-lib", "lib")
    assert done.returncode == 0, done.stderr
    for name in ("pages/E0503.md", "syntax/tables.json", "grammars/schedule.lark", "py.typed"):
        assert (tree / "lib" / "lrdsl" / name).is_file(), name


@pytest.mark.parametrize("cuda", ["auto", "on", "off"])
def test_off_builds_nothing(tree, cuda):
    done = setup(tree, "build_ext", "--inplace", LRDSL_EXT="off", LRDSL_CUDA=cuda)
    assert done.returncode == 0, done.stderr
    for found in (record(tree), record(tree)["cuda"]):
        assert (found["state"], found["why"]) == ("off", "LRDSL_EXT=off was set at installation")
    assert not list((tree / "lrdsl").glob("_C*.so"))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("LRDSL_EXT", "maybe", "one of auto, require, off, keep"),
        ("LRDSL_CUDA", "bogus", "one of auto, on, off"),
        ("LRDSL_CUDA", "", "one of auto, on, off"),
        ("LRDSL_CUDA_ARCHS", "8.0", "numbers such as 80;90"),
        ("LRDSL_CUDA_ARCHS", "sm_80", "numbers such as 80;90"),
    ],
)
def test_unknown_value_is_an_error(tree, name, value, expected):
    done = setup(tree, "build_ext", "--inplace", **{name: value})
    assert done.returncode == 1
    assert f"{name}: expected {expected}, got {value!r}" in done.stderr


def test_an_environment_keeps_what_another_has_built(tree):
    package = tree / "lrdsl"
    module = package / f"_C{sysconfig.get_config_var('EXT_SUFFIX')}"
    module.write_text("built by another environment")
    (package / "_build.json").write_text("{}")
    done = setup(tree, "build_ext", "--inplace", LRDSL_EXT="keep", CXX="/bin/false")
    assert done.returncode == 0, done.stderr
    assert (module.read_text(), record(tree)) == ("built by another environment", {})

    newer = (package / "_build.json").stat().st_mtime + 10
    os.utime(tree / "csrc" / "program.h", (newer, newer))
    setup(tree, "build_ext", "--inplace", LRDSL_EXT="keep", CXX="/bin/false")
    assert record(tree)["state"] == "failed", "other sources are built again"


@pytest.fixture
def broken(tree):
    """A tree on a machine that has every tool, and a compiler that does not work."""
    pytest.importorskip("pybind11", reason="not run: pybind11 is not installed")
    for name in ("cmake", "ninja"):
        if shutil.which(name, path=PATH) is None:
            pytest.skip(f"not run: {name} not found")
    return tree


def test_broken_compiler_is_recorded_and_survived(broken):
    for name in ("_C.old.so", "_C_cuda.old.so"):
        (broken / "lrdsl" / name).write_text("a module of an earlier build")
    done = setup(broken, "build_ext", "--inplace", LRDSL_EXT="auto", CXX="/bin/false")
    assert done.returncode == 0, done.stderr
    assert "WITHOUT its native module: configuring with CMake failed" in done.stderr
    found = record(broken)
    assert (found["state"], found["what"]) == ("failed", "configuring with CMake")
    assert "compiler" in found["why"]
    assert any("/bin/false" in line for line in found["log"])
    assert not list((broken / "lrdsl").glob("_C*.so")), "a stale module must not outlive a failed build"
    assert found["cuda"]["state"] == "absent"
    assert "lrdsl._C was not built" in found["cuda"]["why"]


@pytest.mark.parametrize("setting", ["LRDSL_EXT=require", "LRDSL_CUDA=on"])
def test_required_build_fails(broken, setting):
    done = setup(broken, "build_ext", "--inplace", CXX="/bin/false", **dict([setting.split("=")]))
    assert done.returncode == 1
    assert "configuring with CMake failed" in done.stderr
    assert f"({setting} makes this fatal.)" in done.stderr
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
