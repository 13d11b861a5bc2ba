"""Ask a CUDA device all questions, print the answers and keep them."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

from benchmarks.gpu import host, launches, neighbours, schedule_cost, step, traffic, variants
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.device import Cuda, Device, Host, obstacle
from benchmarks.harness import save

QUESTIONS: dict[str, ModuleType] = {
    "bytes": traffic,
    "schedule_cost": schedule_cost,
    "variants": variants,
    "neighbours": neighbours,
    "launches": launches,
    "host": host,
    "step": step,  # the longest, so last
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 1 if a case raised, else 0, also where nothing could be run."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _options(arguments)
    wanted = options.only or list(QUESTIONS)
    if why := "" if options.dry_run else obstacle():
        for name in wanted:
            print(f"{name}: not run: {why}")
        print(f"{len(wanted)} of {len(wanted)} questions not run")
        return 0
    device: Device = Host() if options.dry_run else Cuda()
    seconds = 0.25 if options.quick else 1.0
    deadline = time.monotonic() + 60 * options.minutes
    failed, incomplete = [], 0
    for name in wanted:
        bench = Bench(device, seconds, deadline)
        results = answer(name, bench)
        failed += [f"{name}: {case}" for case in bench.failed]
        incomplete += len(bench.not_run)
        if not options.dry_run:  # toy sizes are no result
            facts = device.facts()
            save(
                f"gpu-{name}-{slug(facts['name'])}",
                results,
                " ".join(["python -m benchmarks.gpu", *arguments]),
                device=facts,
                peers=versions("apex", "transformer_engine", "triton"),
                target=QUESTIONS[name].TARGET,
            )
    for case in failed:
        print(f"failed: {case}")
    print(f"\n{len(wanted)} questions asked, {incomplete} cases not run, {len(failed)} failed")
    return 1 if failed else 0


def answer(name: str, bench: Bench) -> dict[str, Any]:
    """Ask one question."""
    question = QUESTIONS[name]
    print(f"\n{name}: {' '.join((question.__doc__ or '').strip().splitlines()[0].split())}")
    print(f"  target: {question.TARGET}", flush=True)
    figures: dict[str, Any] = question.ask(bench)
    return figures


def slug(name: str) -> str:
    """A device's name as part of a file's."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def versions(*packages: str) -> dict[str, str]:
    """Of peers that may be there."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(QUESTIONS), help="ask this one; may be repeated")
    parser.add_argument("--quick", action="store_true", help="a quarter of the rounds")
    parser.add_argument("--minutes", type=float, default=8.0, help="no case begins later than this (default: 8)")
    parser.add_argument(
        "--dry-run", action="store_true", help="try the benchmarks on the CPU with toy sizes; nothing is kept"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
