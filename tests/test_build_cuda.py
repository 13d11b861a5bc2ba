"""What setup.py makes of a CUDA toolkit: none, a broken one, one that rejects the sources. The CPU module stays.

That module is not what is tested here and takes long, so a stand-in for CMake pretends to build it, and passes
everything about CUDA on to the real one.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("setuptools", reason="not run: setuptools is not installed")
pytest.importorskip("pybind11", reason="not run: pybind11 is not installed")

ROOT = Path(__file__).parents[1]
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
WITHOUT_NVCC = os.pathsep.join(folder for folder in PATH.split(os.pathsep) if not Path(folder, "nvcc").exists())
NVCC = shutil.which("nvcc")

STAND_IN = """\
#!/bin/sh
case "$*" in
  *cuda-*) exec {cmake} "$@" ;;
  *--install*) for folder; do :; done; touch "$folder/lrdsl/_C.pretended.so" ;;
  *-S*) mkdir -p build/cmake-{tag} && echo '{{"compiler": "pretended"}}' > build/cmake-{tag}/facts.json ;;
esac
"""


@pytest.fixture
def tree(tmp_path):
    """A copy of what is built, and a folder of programs that has no nvcc yet."""
    copy, programs = tmp_path / "tree", tmp_path / "programs"
    shutil.copytree(ROOT / "csrc", copy / "csrc")
    for file in ("setup.py", "pyproject.toml", "LICENSE", "lrdsl/__init__.py", "lrdsl/_version.py"):
        (copy / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, copy / file)
    (copy / "README.md").write_text("# lrdsl\n")
    programs.mkdir()
    for name in ("ninja", "c++"):
        if (found := shutil.which(name, path=PATH)) is None:
            pytest.skip(f"not run: {name} not found")
        (programs / name).symlink_to(found)
    cmake = shutil.which("cmake", path=PATH)
    if cmake is None:
        pytest.skip("not run: cmake not found")
    program(programs / "cmake", STAND_IN.format(cmake=cmake, tag=sys.implementation.cache_tag))
    return copy


def program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def build(tree, **variables):
    """Builds in place; what was said on stderr, the exit status, and the record."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CUDA", "LRDSL", "NVCC", "CXX"))}
    environment = {**kept, "PATH": os.pathsep.join([str(tree.parent / "programs"), WITHOUT_NVCC]), **variables}
    command = [sys.executable, "-W", "ignore", "setup.py", "--quiet", "build_ext", "--inplace"]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    recorded = tree / "lrdsl" / "_build.json"
    return done.stderr, done.returncode, json.loads(recorded.read_text()) if recorded.exists() else None


def built(tree):
    return sorted(path.name.partition(".")[0] for path in (tree / "lrdsl").glob("_C*.so"))


@pytest.mark.parametrize("ext", ["auto", "require"])
def test_no_nvcc_is_fine(tree, ext):
    error, status, record = build(tree, LRDSL_EXT=ext, CUDA_HOME="/nowhere")
    assert (error, status) == ("", 0)
    assert record["state"] == "built"
    assert record["cuda"]["state"] == "absent"
    assert record["cuda"]["why"] == "none of CUDACXX, CUDA_HOME and PATH leads to nvcc"
    assert built(tree) == ["_C"]


def test_no_nvcc_is_an_error_if_it_was_asked_for(tree):
    error, status, _ = build(tree, LRDSL_CUDA="on")
    assert status == 1
    assert "looking for nvcc failed: none of CUDACXX, CUDA_HOME and PATH leads to nvcc" in error
    assert "(LRDSL_CUDA=on makes this fatal.)" in error


def test_off_does_not_look_for_nvcc(tree):
    _, status, record = build(tree, LRDSL_EXT="require", LRDSL_CUDA="off", CUDACXX="/bin/false")
    assert status == 0
    assert (record["cuda"]["state"], record["cuda"]["why"]) == ("off", "LRDSL_CUDA=off was set at installation")
    assert built(tree) == ["_C"]


@pytest.mark.parametrize(
    ("place", "variables"),
    [
        ("cuda/nvcc-13", {"CUDACXX": "{folder}/cuda/nvcc-13"}),
        ("cuda/bin/nvcc", {"CUDA_HOME": "{folder}/cuda"}),
        ("programs/nvcc", {"CUDA_HOME": "/nowhere"}),  # on PATH
    ],
)
def test_a_broken_nvcc_is_recorded_and_survived(tree, place, variables):
    nvcc = program(
        tree.parent / place, '#!/bin/sh\necho "Cuda compilation tools, release 12.4, V12.4.1"; echo oh no >&2; exit 7\n'
    )
    (tree / "lrdsl" / "_C_cuda.old.so").write_text("a module of an earlier build")
    error, status, record = build(tree, **{name: value.format(folder=tree.parent) for name, value in variables.items()})
    assert status == 0, error
    assert f"WITHOUT its CUDA module: configuring with CMake failed: {nvcc} does not run (7)" in error
    assert "LRDSL_CUDA=on makes it fatal" in error
    assert record["state"] == "built"
    found = record["cuda"]
    assert (found["state"], found["what"], found["toolkit"]) == ("failed", "configuring with CMake", "12.4")
    assert found["nvcc"] == str(nvcc)
    assert any("oh no" in line for line in found["log"])
    assert built(tree) == ["_C"], "a stale module must not outlive a failed build"


@pytest.mark.parametrize("setting", ["LRDSL_EXT=require", "LRDSL_CUDA=on"])
def test_a_broken_nvcc_is_an_error_if_it_was_asked_for(tree, setting):
    error, status, _ = build(tree, CUDACXX="/nowhere/nvcc", **dict([setting.split("=")]))
    assert status == 1
    assert "/nowhere/nvcc does not run" in error
    assert f"({setting} makes this fatal.)" in error


def test_an_architecture_that_nvcc_does_not_know_is_named(tree):
    nvcc = program(tree / "nvcc", "#!/bin/sh\nprintf 'compute_50\\ncompute_75\\ncompute_80\\n'\n")
    _, status, record = build(tree, CUDACXX=str(nvcc), LRDSL_CUDA_ARCHS="75, 800")
    assert status == 0
    assert record["cuda"]["why"] == "LRDSL_CUDA_ARCHS: this nvcc does not know 800, only 50 75 80"
    assert record["cuda"]["architectures"] == ["75", "800"]


needs_nvcc = pytest.mark.skipif(NVCC is None, reason="not run: nvcc not found")


@pytest.mark.slow
@needs_nvcc
@pytest.mark.parametrize("wrong", ["host compiler", "source"])
def test_what_nvcc_rejects_is_recorded_and_survived(tree, wrong):
    (tree / "csrc" / "cuda_probe.cu").write_text("void f() { undeclared(); }\n")
    variables = {"CUDAHOSTCXX": "/bin/false"} if wrong == "host compiler" else {}
    error, status, record = build(tree, CUDACXX=NVCC, LRDSL_CUDA_ARCHS="80", **variables)
    assert status == 0, error
    found = record["cuda"]
    assert (record["state"], found["state"]) == ("built", "failed")
    assert found["what"] == ("compiling" if wrong == "source" else "configuring with CMake")
    assert wrong != "source" or found["why"] == 'identifier "undeclared" is undefined'
    assert found["why"] in error
    assert built(tree) == ["_C"]


@pytest.mark.slow
@needs_nvcc
def test_builds(tree):
    _, status, record = build(tree, CUDACXX=NVCC, LRDSL_CUDA="on", LRDSL_CUDA_ARCHS="90 80", LRDSL_WHEEL="1")
    assert status == 0
    assert record["cuda"]["architectures"] == ["sm_80", "sm_90", "compute_90"]
    assert record["cuda"]["state"] == "built"
    assert built(tree) == ["_C", "_C_cuda"]
