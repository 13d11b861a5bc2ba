"""Each copy of the CPU kernel exports its entry and nothing else.

A function shared between the copies, such as a template of the standard library, would be linked once; were it the
AVX2 one, older CPUs would stop at an illegal instruction.
"""

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

CSRC = Path(__file__).parents[2] / "csrc"


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="not run: one instruction set here")
def test_kernel_shares_no_function(tmp_path):
    compiler, nm = shutil.which("g++"), shutil.which("nm")
    if compiler is None or nm is None:
        pytest.skip("not run: g++ or nm not found")
    flags = ["-std=c++17", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fopenmp", "-mavx2", "-mfma"]
    subprocess.run(
        [compiler, *flags, "-DLRDSL_ISA=avx2", "-c", CSRC / "cpu_step.cpp", "-o", tmp_path / "step.o"], check=True
    )
    listed = subprocess.run([nm, "-C", "-g", "--defined-only", tmp_path / "step.o"], capture_output=True, text=True)
    found = [line.split(" ", 2)[2] for line in listed.stdout.splitlines()]
    assert found == ["lrdsl::avx2::run(lrdsl::StepPlan const&)"]
