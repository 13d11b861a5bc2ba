"""How long do texts take that are made to take long, and how much memory? The budget is 250 ms and 64 MiB each.

Every text runs in a process of its own, which has compiled and explained a small one before.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import lrdsl
from benchmarks.harness import save
from lrdsl.cli.main import cli
from tests.schedule.hostile import HOSTILE
from tests.schedule.test_limits import FINE, REFUSED

TEXTS = {
    **{name: text for name, (_, text) in HOSTILE.items()},
    **{name: text for name, (_, text) in REFUSED.items()},
    **{name: text for name, (text, *_) in FINE.items()},
}
CONTEXT = {"base_lr": 1e-3, "total_steps": 10_000}
BUDGET_MS, BUDGET_MIB = 250, 64
SHOWN = 12


def verbs(text: str) -> dict[str, Callable[[], object]]:
    """Everything that is done with a text."""
    options = ("--base-lr", "1e-3", "--total-steps", "10000")
    return {
        "compile": lambda: lrdsl.compile(text, **CONTEXT),
        "notes": lambda: lrdsl.compile(text, **CONTEXT).notes,
        "str": lambda: str(lrdsl.compile(text, **CONTEXT)),
        "check": lambda: cli(["check", *options, "--", text], standalone_mode=False),
        "explain": lambda: cli(["explain", *options, "--", text], standalone_mode=False),
        "fmt": lambda: cli(["fmt", "--", text], standalone_mode=False),
    }


def silently(action: Callable[[], object]) -> float:
    """Seconds of CPU that `action` takes, its answer and errors included."""
    started = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            action()
        except lrdsl.ScheduleError as error:
            str(error)
        except SystemExit:
            pass
    return time.process_time() - started


def mebibytes(field: str) -> float:
    """Memory of this process: ``VmRSS`` now, ``VmHWM`` at most since it was reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def measure(text: str) -> dict[str, float]:
    """Milliseconds of every verb (each compiles first, as the user sees it) and MiB above the small text, at most."""
    for action in verbs("warmup(3) >> cosine(5) | plateau()").values():
        silently(action)
    before = mebibytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    found = {verb: 1e3 * silently(action) for verb, action in verbs(text).items()}
    return {**found, "MiB": mebibytes("VmHWM") - before}


def main() -> None:
    """Measure, print the worst, keep all."""
    results = {}
    for name in TEXTS:
        command = [sys.executable, "-m", "benchmarks.hostile", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        results[name] = {key: round(value, 1) for key, value in json.loads(done.stdout).items()}
    slowest = {name: max(v for k, v in row.items() if k != "MiB") for name, row in results.items()}
    for name in sorted(results, key=lambda name: -slowest[name])[:SHOWN]:
        print(f"  {name:32s} {slowest[name]:7.0f} ms {results[name]['MiB']:6.0f} MiB")
    over = [name for name in results if slowest[name] > BUDGET_MS or results[name]["MiB"] > BUDGET_MIB]
    print(f"{len(results)} texts, {len(over)} of them beyond {BUDGET_MS} ms or {BUDGET_MIB} MiB")
    save("hostile", results, load=[round(share, 1) for share in os.getloadavg()])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(TEXTS[sys.argv[1]])))
    else:
        main()
