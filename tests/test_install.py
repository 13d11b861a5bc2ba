"""Installs that lack something, each into a fresh environment: they succeed, work, and say what is missing.

They take a quarter of a minute each, so `make test` leaves them out; continuous integration runs them.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
TEXT = "warmup(500) >> cosine(10000, min=1e-6) | plateau(patience=3)"

# Compiles a schedule, says which evaluator runs it, and that torch was not looked for.
PROBE = f"""
import json, sys
import lrdsl
from lrdsl import build_record, cuda
from lrdsl.evaluators import native
schedule = lrdsl.compile({TEXT!r}, base_lr=1e-3)
rates = schedule.lrs([0, 250, 500, 10500])
print(json.dumps({{
    "rates": list(map(float, rates)), "native": native.extension() is not None, "reason": native.reason(),
    "record": build_record.record(), "cuda": cuda.reason(), "torch": "torch" in sys.modules,
}}))
"""
RATES = [0.0, 5e-4, 1e-3, 1e-6]


def run(*command, **environment):
    # Not this tree instead of what was installed; and not every architecture that nvcc knows, which takes a minute.
    environment = {**os.environ, "PYTHONPATH": "", "LRDSL_CUDA": "off", **environment}
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def install(tmp_path):
    """Installs a copy of this tree, as a user would, and returns what the probe finds and the environment's folder."""
    tree, environment = tmp_path / "tree", tmp_path / "env"
    ignore = shutil.ignore_patterns("build", "*.so", "_build.json", "__pycache__", ".*", "*.egg-info")
    shutil.copytree(ROOT, tree, ignore=ignore)
    run(sys.executable, "-m", "venv", environment)

    def installed(**variables):
        run(environment / "bin" / "pip", "install", tree, **variables)
        assert not list((environment / "lib").glob("python*/site-packages/torch")), "no requirement may pull torch"
        return json.loads(run(environment / "bin" / "python", "-c", PROBE)), environment / "bin"

    return installed


def test_without_torch_and_with_a_broken_nvcc(install):
    found, folder = install(LRDSL_CUDA="auto", CUDACXX="/bin/false")
    assert found["native"] and not found["torch"]
    assert found["record"]["state"] == "built"
    assert found["record"]["cuda"]["state"] == "failed"
    assert found["cuda"] == "the CUDA extension was not built: /bin/false does not run (1)"
    assert found["rates"] == pytest.approx(RATES, rel=1e-15)
    # The command line works too, and takes the grammar from the installed package.
    run(folder / "lrdsl", "check", TEXT)
    assert run(folder / "lrdsl", "plot", "--text", TEXT, "--base-lr", "1e-3").count("\n") > 5


def test_without_compiler(install):
    found, _ = install(CXX="/bin/false")
    assert not found["native"]
    assert found["record"]["state"] == "failed"
    assert found["record"]["why"] in found["reason"]
    assert found["rates"] == pytest.approx(RATES, rel=1e-15)


def test_switched_off(install):
    found, _ = install(LRDSL_EXT="off", LRDSL_CUDA="on")
    assert not found["native"]
    assert "LRDSL_EXT=off" in found["reason"] and "LRDSL_EXT=off" in found["cuda"]
    assert found["rates"] == pytest.approx(RATES, rel=1e-15)
