"""Damaged Programs: the verifier reads nothing beyond their end, and what it accepts runs, under the sanitizers."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import lrdsl
from lrdsl.program.opcodes import NUMBER
from lrdsl.program.program import STACK, Code, Program, Segment

CSRC = Path(__file__).parents[2] / "csrc"
DRIVER = Path(__file__).with_name("verifier_fuzz.cpp")
ROUNDS = int(os.environ.get("LRDSL_ROUNDS", "100000"))
FLAGS = ["-std=c++17", "-O1", "-g", "-ffp-contract=off", "-fno-sanitize-recover=all", f"-I{CSRC}"]
SANITIZERS = "-fsanitize=address,undefined,float-cast-overflow"
TEXTS = [
    "constant(1e-3)",
    "warmup(500) >> cosine(10000, min=1e-6) | plateau(patience=3)",
    "repeat(5, warmup(10) >> cosine(100), mult=2, gain=0.5) >> linear(100, from=1x)",
    "(exponential(0.9) | plateau(metric=a, every=10)) * (inverse_sqrt(40) | plateau(metric=b, mode=max, cooldown=2))",
    "expr(where(t < 10, exp(-t) + cospi(u) ** 1.5, log(1 + t) * sqrt(abs(sinpi(t / 7)))), n=100) >> step(5)",
]


def deep():
    """A Program that fills the whole stack: any ADD put behind the STEP after it would need one place more."""
    step, add = (NUMBER["STEP"], 0), (NUMBER["ADD"], 0)
    code = (step,) * STACK + (add, step) * 20 + (add,) * (STACK - 1)
    return Program((Segment(0, Code(0, len(code))),), (), code, (), (), (), (), STACK, 0)


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("not run: g++ not found")
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "empty.cpp").write_text("int main() {}\n")
    tried = subprocess.run([compiler, SANITIZERS, "empty.cpp", "-o", "empty"], cwd=folder, capture_output=True)
    if tried.returncode or subprocess.run([folder / "empty"], capture_output=True).returncode:
        pytest.skip("not run: g++ has no address or undefined-behaviour sanitizer here")
    command = [compiler, *FLAGS, SANITIZERS, "-Wall", "-Wextra", "-Wconversion", "-Werror", str(DRIVER), "-o", "driver"]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder / "driver"


def test_damaged_programs(driver, tmp_path):
    programs = [deep(), *(lrdsl.compile(text, base_lr=0.1).program() for text in TEXTS)]
    packs = [tmp_path / f"{index}.bin" for index in range(len(programs))]
    for pack, program in zip(packs, programs, strict=True):
        pack.write_bytes(program.pack())
    ran = subprocess.run([driver, str(ROUNDS), *packs], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    accepted, refused = map(int, ran.stdout.split())
    assert accepted + refused == ROUNDS
    assert min(accepted, refused) > ROUNDS // 10  # both happen often
