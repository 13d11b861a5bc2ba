"""What does the schedule add to the kernel time of our own step?

The same step without a schedule obeys a constant ``group["lr"]``. Both update the same parameters.
"""

from __future__ import annotations

from functools import partial

from benchmarks.gpu.bench import Bench, Figures, spread
from benchmarks.gpu.workload import LARGE, SMALL, Workload, models
from benchmarks.peers import TEXT
from benchmarks.shapes import Shape

TARGET = "≤ 2 µs at one group, aim at 1 µs; ≤ 2 % of the step on large models"
GROUPS = (1, 2, 100)
TEXTS = {"schedule": TEXT, "schedule with plateau": f"{TEXT} | plateau(patience=3)", "no schedule": None}


def measure(bench: Bench, title: str, shapes: list[Shape], groups: int) -> Figures:
    """One case."""
    work = Workload(bench.device, shapes, groups)
    made = work.parameters()
    calls = {name: work.lrdsl(made, schedule=text).step for name, text in TEXTS.items()}
    turns = {name: bench.device.turn("kernel", call, False) for name, call in calls.items()}
    seconds = bench.race(turns, patience=4)  # microseconds are looked for in milliseconds
    plain = seconds["no schedule"]
    figures: Figures = {**work.facts, "rounds": len(plain), "kernel_us": {}, "added_us": {}, "added_share": {}}
    for name, times in seconds.items():
        figures["kernel_us"][name] = spread([1e6 * t for t in times])
        if name != "no schedule":
            pairs = list(zip(times, plain, strict=True))
            figures["added_us"][name] = spread([1e6 * (t - without) for t, without in pairs])
            figures["added_share"][name] = spread([t / without - 1 for t, without in pairs])
    figures["notes"] = {name: turn.notes() for name, turn in turns.items()}
    added = "; ".join(
        f"{name} adds {row['median']:+.2f} µs ({row['low']:+.2f} – {row['high']:+.2f}), "
        f"{figures['added_share'][name]['median']:+.2%}"
        for name, row in figures["added_us"].items()
    )
    print(f"  {title}: {figures['kernel_us']['no schedule']['median']:.1f} µs without; {added}", flush=True)
    return figures


def ask(bench: Bench) -> Figures:
    """All cases."""
    every = models(bench.device)
    cases = {}
    for model in (SMALL, LARGE):
        for groups in GROUPS:
            title = f"{model}, {groups} group{'s' * (groups > 1)}"
            cases[title] = partial(measure, bench, title, every[model], groups)
    return bench.cases(cases)
