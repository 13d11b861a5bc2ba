"""How everything here is timed: peers take turns in one process, and what counts is the ratio within a round.

Machines are noisy and drift; two runs a minute apart differ by more than most effects.
So each round times every peer once, the order is reversed from round to round, and a
result is the median of the rounds' ratios with its quartiles.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def interleave(
    peers: dict[str, Callable[[], Any]],
    *,
    rounds: int,
    repeat: int,
    prepare: Callable[[str], object] = lambda name: None,
) -> dict[str, list[float]]:
    """Seconds per call of every peer, a list with one entry per round.

    Args:
        peers: What is timed.
        rounds: How often every peer gets its turn.
        repeat: Calls in one turn.
        prepare: Called with the peer's name before every turn, outside the clock.
    """
    for name, peer in peers.items():
        prepare(name)
        peer()

    def timed(peer: Callable[[], Any]) -> float:
        start = time.perf_counter()
        for _ in range(repeat):
            peer()
        return (time.perf_counter() - start) / repeat

    return take_turns({name: partial(timed, peer) for name, peer in peers.items()}, rounds=rounds, prepare=prepare)


def take_turns(
    turns: Mapping[str, Callable[[], float]],
    *,
    rounds: int,
    prepare: Callable[[str], object] = lambda name: None,
) -> dict[str, list[float]]:
    """What every turn returns, a list with one entry per round; the order is reversed from round to round."""
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(rounds):
        for name in list(turns) if number % 2 else reversed(list(turns)):
            prepare(name)
            seconds[name].append(turns[name]())
    return seconds


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4)
    return low, middle, high


def compare(seconds: dict[str, list[float]], ours: str = "lrdsl") -> dict[str, dict[str, float]]:
    """Median time of each peer in microseconds, and how many times longer than ours it takes."""
    rows = {}
    for name, times in seconds.items():
        ratios = [theirs / own for theirs, own in zip(times, seconds[ours], strict=True)]
        low, middle, high = quartiles(ratios)
        rows[name] = {
            "median_us": 1e6 * statistics.median(times),
            "ratio": middle,
            "ratio_low": low,
            "ratio_high": high,
        }
    return rows


def table(title: str, rows: dict[str, dict[str, float]]) -> None:
    """Print a comparison."""
    print(f"\n{title}")
    print(f"  {'':34s} {'median':>12s} {'ratio to lrdsl (quartiles)':>30s}")
    for name, row in rows.items():
        spread = f"{row['ratio']:.2f} ({row['ratio_low']:.2f} – {row['ratio_high']:.2f})"
        print(f"  {name:34s} {row['median_us']:9.1f} µs {spread:>30s}")


def save(name: str, results: Any, command: str = "", **facts: Any) -> None:
    """Write the results with everything needed to judge and repeat them.

    Args:
        name: Of the file.
        results: What was found.
        command: What finds it again; by default, running the module of that name.
        facts: More about the machine and the run.
    """
    RESULTS.mkdir(exist_ok=True)
    record = {"command": command or f"python -m benchmarks.{name}", **environment(), **facts, "results": results}
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(f"\nwrote {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path.name}")


def environment() -> dict[str, Any]:
    """Machine, versions and commit."""
    import lrdsl
    from lrdsl.evaluators import native

    module = native.extension()
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": _output("git", "rev-parse", "--short", "HEAD") + ("-dirty" if _changed() else ""),
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "system": platform.platform()},
        "versions": {
            "python": platform.python_version(),
            "lrdsl": lrdsl.__version__,
            **{name: _version(name) for name in ("torch", "numpy", "lark")},
        },
        "backend": module.isa() if module else f"none: {native.reason()}",
    }


def _changed() -> bool:
    """Does the tree differ from its commit, results aside?"""
    return _output("git", "status", "--porcelain", "--", "..", ":!results") not in ("", "unknown")


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def bare_python(*arguments: str, repeats: int = 5) -> float:
    """Median seconds of a whole Python process."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return statistics.median(times)
