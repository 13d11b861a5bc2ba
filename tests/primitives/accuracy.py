"""How far every curve and function is from its real-number formula: ``python -m tests.primitives.accuracy``.

Prints the worst error of each, in ULP of the exact value, and where it was found. ``LRDSL_POINTS`` says how many points
each gets; with a name after ``--write`` the result becomes that file, line by line, and what it holds already is not
run again.
"""

from __future__ import annotations

import datetime
import json
import math
import os
import platform
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mpmath
from mpmath import mp

import lrdsl
from tests.primitives.oracle import EVERYTHING, PRECISION, Maker

POINTS = int(os.environ.get("LRDSL_POINTS", "300"))
PER_SCHEDULE = max(10, min(250, POINTS // 100))


@dataclass(frozen=True)
class Worst:
    """The largest error found, and where."""

    ulps: float
    text: str
    base: float
    step: int
    got: float


def ulps(got: float, exact: Any) -> float:
    """Distance of a double from a real number, in units of the last place of that number."""
    if exact == 0:
        return 0.0 if got == 0 else math.inf
    return abs(float(exact - got)) / math.ulp(float(exact))


def worst(make: Maker, points: int, seed: int = 0) -> Worst:
    """The largest error of one curve at that many random points."""
    rng = random.Random(seed)
    most = Worst(-1.0, "", 0.0, 0, 0.0)
    with mp.workprec(PRECISION):
        while points > 0:
            draw = make(rng, min(points, PER_SCHEDULE))
            schedule = lrdsl.compile(draw.text, base_lr=draw.base)
            for report in draw.reports:
                schedule.observe(report, step=1)
            for step, got in zip(draw.steps, schedule.lrs(draw.steps).tolist(), strict=True):
                error = ulps(got, draw.exact(step))
                if not error <= most.ulps:  # a nan is the worst
                    most = Worst(error, draw.text, draw.base, step, got)
            points -= len(draw.steps)
    return most


def main(arguments: list[str]) -> None:
    """Measure everything, or what a file still lacks."""
    path = Path(arguments[1]) if arguments[:1] == ["--write"] else None
    record: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": f"LRDSL_POINTS={POINTS} python -m tests.primitives.accuracy --write tests/data/accuracy.json",
        "versions": {
            "lrdsl": lrdsl.__version__,
            "python": platform.python_version(),
            "mpmath": f"{mpmath.__version__} ({mpmath.libmp.BACKEND})",
        },
        "points": POINTS,
        "worst": {},
    }
    if path is not None and path.exists():
        record["worst"] = json.loads(path.read_text("utf-8"))["worst"]
    for name, make in EVERYTHING.items():
        if name in record["worst"]:
            continue
        found = worst(make, POINTS)
        print(f"{name:24}{found.ulps:8.3f}  {found.text}, base {found.base!r}, step {found.step}", flush=True)
        record["worst"][name] = vars(found)
        if path is not None:
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
