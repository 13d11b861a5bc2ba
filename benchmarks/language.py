"""How long does a text take to become a schedule, and a million steps to become rates?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

import lrdsl
from benchmarks.harness import save
from lrdsl import evaluators

TEXT = "warmup({w}) >> cosine({n}, min=1e-6) | plateau(patience=3)"
STEPS = 1_000_000


def median_ms(call: Callable[[int], object], repeats: int) -> float:
    """Median milliseconds of calls that get their number."""
    times = []
    for number in range(repeats):
        start = time.perf_counter()
        call(number)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def compile_unseen() -> float:
    """Milliseconds for a text the process has not seen, once it is warm."""
    lrdsl.compile(TEXT.format(w=1, n=2), base_lr=3e-4)
    return median_ms(lambda i: lrdsl.compile(TEXT.format(w=500 + i, n=10_000 + i), base_lr=3e-4), 300)


def million_steps() -> dict[str, float]:
    """Milliseconds for a million consecutive steps, per evaluator; torch's scheduler is timed on 20,000 and scaled."""
    schedule = lrdsl.compile(TEXT.format(w=500, n=STEPS - 500), base_lr=3e-4)
    steps = np.arange(STEPS)
    found = {}
    for name in ("native", "vector"):
        if name == "native" and evaluators.native.extension() is None:
            continue
        evaluator = evaluators.evaluator(schedule.program(), name)
        state = schedule.tracks["lr", None].state
        found[name] = median_ms(lambda _, run=evaluator, s=state: run.values(steps, s), 7)
    found["torch SequentialLR.step()"] = median_ms(lambda _: torch_scheduler(20_000), 3) * STEPS / 20_000
    return found


def torch_scheduler(steps: int) -> None:
    """The same curve, stepped the torch way."""
    opt = torch.optim.SGD([torch.zeros(1)], lr=3e-4)
    warmup = torch.optim.lr_scheduler.LinearLR(opt, 1e-8, 1.0, 500)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(opt, STEPS - 500, 1e-6)
    scheduler = torch.optim.lr_scheduler.SequentialLR(opt, [warmup, cosine], [500])
    for _ in range(steps):
        opt.step()
        scheduler.step()


def main() -> None:
    """Measure, print, keep."""
    results = {"compile_unseen_ms": compile_unseen(), "million_steps_ms": million_steps()}
    print(f"compile of a text not seen before, warm: {results['compile_unseen_ms']:.3f} ms")
    for name, ms in results["million_steps_ms"].items():  # type: ignore[attr-defined]
        print(f"1,000,000 steps, {name}: {ms:.1f} ms")
    save("language", results)


if __name__ == "__main__":
    main()
