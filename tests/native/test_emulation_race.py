"""One writer of the clock: the device's kernels on real threads, in many orders, under the thread sanitizer."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import lrdsl

CSRC = Path(__file__).parents[2] / "csrc"
DRIVER = Path(__file__).with_name("emulation_race.cpp")
STEPS = int(os.environ.get("LRDSL_RACES", "10000"))
# Without entry and exit of functions, whose only use is in reports, it runs twice as fast.
SANITIZER = ["-fsanitize=thread", "--param", "tsan-instrument-func-entry-exit=0"]
FLAGS = ["-std=c++17", "-O1", "-g", "-ffp-contract=off", "-pthread", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
TEXTS = ["warmup(5) >> cosine(40) | plateau(patience=1)", "linear(30, from=1x) >> hold()"]


@pytest.fixture(scope="module")
def compiler(tmp_path_factory):
    found = shutil.which("g++")
    if found is None:
        pytest.skip("not run: g++ not found")
    folder = tmp_path_factory.mktemp("tsan")
    (folder / "empty.cpp").write_text("int main() {}\n")
    tried = subprocess.run([found, *SANITIZER, "empty.cpp", "-o", "empty"], cwd=folder, capture_output=True)
    if tried.returncode or subprocess.run([folder / "empty"], capture_output=True).returncode:
        pytest.skip("not run: g++ has no thread sanitizer here")
    return found


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs")
    for index, text in enumerate(TEXTS):
        (folder / f"{index}.bin").write_bytes(lrdsl.compile(text, base_lr=0.1).program().pack())
    return sorted(folder.iterdir())


def run(compiler, packs, folder, steps, csrc=CSRC):
    sources = [str(DRIVER), str(csrc / "emulate.cpp"), str(csrc / "host_stream.cpp")]
    flags = [*FLAGS, f"-I{csrc}"]
    built = subprocess.run(
        [compiler, *flags, *SANITIZER, *sources, "-o", folder / "race"], capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    return subprocess.run([folder / "race", str(steps), *packs], capture_output=True, text=True)


def test_one_writer_of_the_clock(compiler, packs, tmp_path):
    ran = run(compiler, packs, tmp_path, STEPS)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    applied, skipped = map(int, ran.stdout.split())
    assert applied + skipped == STEPS
    assert min(applied, skipped) > STEPS // 10  # both happen often


def test_a_clock_without_ticket_is_seen(compiler, packs, tmp_path):
    # What the test above would find: the last block's work, done by the first.
    csrc = tmp_path / "csrc"
    shutil.copytree(CSRC, csrc)
    body = csrc / "kernel_body.h"
    ticket = "if (!grid.last(&t.state->ticket)) return;"
    text = body.read_text()
    assert text.count(ticket) == 1
    body.write_text(text.replace(ticket, "if (grid.block() != 0) return;"))
    ran = run(compiler, packs, tmp_path, 1000, csrc)
    assert ran.returncode != 0
    assert "data race" in ran.stderr
