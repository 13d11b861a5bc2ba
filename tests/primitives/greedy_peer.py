"""Runs of transformers' `GreedyLR`: live where it is installed, recorded in ``tests/data/greedy.json`` where not.

``python -m tests.primitives.greedy_peer`` records them anew. What the two do not share is kept out of the runs:

* It owns the rate and moves it step by step, so a bound that it runs into becomes its new starting point, while ours
  stay powers of ``factor`` times base. Here bounds are such powers of 1/2 exactly, or out of reach.
* After a long time at the floor it starts anew (``reset_start``), and it leaves changes below ``eps`` undone.
* Its running sum never gets rid of a report that is not finite, and rounds: here sums of smoothed reports are exact.
* What is better than a negative best by a share.
"""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "data" / "greedy.json"
BASE = 0.125
NEVER = 10**9


def runs(count: int, reports: int, seed: int = 0) -> list[dict[str, Any]]:
    """Options of `GreedyLR`, and the reports it gets."""
    rng = random.Random(seed)
    made = []
    for index in range(count):
        exact, smooth = index % 2 == 0, rng.choice([1, 1, 2, 5, 64])
        relative = rng.random() < 0.3
        options = {
            "mode": rng.choice(["min", "max"]),
            "factor": 0.5 if exact else rng.choice([0.95, 0.7]),
            "patience": rng.choice([0, 1, 2, 5]),
            "threshold": rng.choice([0.0, 2.0**-7]),
            "threshold_mode": "rel" if relative else "abs",
            "cooldown": rng.choice([0, 0, 1, 3]),
            "warmup": rng.choice([0, 0, 2, 4]),
            "min_lr": 2.0**-6 if exact else 1e-300,
            "max_lr": 1.0 if exact else 1e300,
        }
        level, drift = rng.uniform(3, 8), rng.choice([-0.02, 0.0, 0.02])
        values = []
        for _ in range(reports):
            drift = rng.choice([-0.03, 0.0, 0.03]) if rng.random() < 0.05 else drift
            level = max(level + drift, 1.0 if relative else -100.0)
            value = round((level + rng.choice([0.0, 0.0, 0.25 * rng.random()])) * 1024) / 1024
            # In place of what would be infinitely good, which is bad for ours: nan, bad for both.
            bad = math.nan if rng.random() < 0.5 else math.inf if options["mode"] == "min" else -math.inf
            values.append(bad if smooth == 1 and rng.random() < 0.03 else value)
        made.append({"options": options, "smooth": smooth, "reports": values})
    return made


def play(run: dict[str, Any]) -> list[list[float]]:
    """What `GreedyLR` has after every report: rate, bad and good reports in a row, reports to wait, best."""
    import torch
    from transformers.optimization import GreedyLR

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
    smooth = run["smooth"]
    scheduler = GreedyLR(optimizer, eps=0.0, reset_start=NEVER, smooth=smooth > 1, window_size=smooth, **run["options"])
    told = []
    for report in run["reports"]:
        scheduler.step(report)
        wait = scheduler.cooldown_counter + scheduler.warmup_counter
        counts = [scheduler.num_bad_epochs, scheduler.num_good_epochs, wait]
        told.append([optimizer.param_groups[0]["lr"], *counts, scheduler.best])
    return told


def record() -> None:
    """Write the file."""
    import torch
    import transformers

    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    found = [run | {"told": play(run)} for run in runs(24, 80)]
    FILE.write_text(json.dumps({"versions": versions, "runs": found}).replace('{"options"', '\n{"options"') + "\n")


if __name__ == "__main__":
    record()
