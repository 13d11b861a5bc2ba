"""What all questions share: races between peers, within a time, and one line for each."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

import torch

from benchmarks.gpu.device import Device
from benchmarks.gpu.turns import Call, Turn
from benchmarks.harness import compare, quartiles, take_turns

FEWEST, MOST = 5, 40
"""Rounds."""

Figures = dict[str, Any]
Prepare = Callable[[str], object]


def nothing(name: str) -> None:
    """Before a turn."""


@dataclass
class Bench:
    """A device and the time there is.

    Attributes:
        device: Where.
        seconds: For the rounds of one race.
        deadline: On the monotonic clock; a case that would begin later is not run.
        not_run: Cases and why they did not run.
        failed: Those that raised.
    """

    device: Device
    seconds: float = 1.0
    deadline: float = inf
    not_run: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def cases(self, cases: Mapping[str, Callable[[], Figures]]) -> Figures:
        """The figures of every case, or why there are none; one that fails does not keep the others from running."""
        return {name: self._case(name, measure) for name, measure in cases.items()}

    def _case(self, name: str, measure: Callable[[], Figures]) -> Figures:
        if time.monotonic() > self.deadline:
            return self._skip(name, "out of time")
        try:
            self.device.clear()
            return measure()
        except torch.OutOfMemoryError:
            return self._skip(name, "out of memory")
        except Exception as error:  # whatever it is, the figures of the other cases are wanted
            traceback.print_exc()
            self.failed.append(name)
            return {"failed": f"{type(error).__name__}: {error}"}

    def _skip(self, name: str, why: str) -> Figures:
        self.not_run[name] = why
        print(f"  {name}: not run: {why}")
        return {"not run": why}

    def race(self, turns: Mapping[str, Turn], prepare: Prepare = nothing, patience: int = 1) -> dict[str, list[float]]:
        """Seconds per call of every peer and round; with ``patience`` for so many times as long."""
        for name, turn in turns.items():
            prepare(name)
            turn.settle()
        start = time.perf_counter()
        take_turns(turns, rounds=1, prepare=prepare)
        each = time.perf_counter() - start
        rounds = self.device.rounds or max(FEWEST, min(MOST * patience, int(self.seconds * patience / each)))
        return take_turns(turns, rounds=rounds, prepare=prepare)

    def compare(
        self,
        title: str,
        peers: Mapping[str, Call],
        clocks: tuple[str, ...] = ("kernel", "wall"),
        *,
        prepare: Prepare = nothing,
        once: bool = False,
    ) -> Figures:
        """A race by each clock: median time of each peer, and how many times longer than ours it takes."""
        figures: Figures = {}
        for clock in clocks:
            turns = {name: self.device.turn(clock, call, once) for name, call in peers.items()}
            seconds = self.race(turns, prepare)
            rows: dict[str, Figures] = compare(seconds)
            for name, turn in turns.items():
                rows[name] |= turn.notes()
            figures[clock] = {"rounds": len(seconds["lrdsl"]), "peers": rows}
            print(f"  {title}, {clock}: {_line(rows)}", flush=True)
        return figures


def spread(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = quartiles(values)
    return {"median": middle, "low": low, "high": high}


def _line(rows: Mapping[str, Figures]) -> str:
    """Our time, and the others' in ours."""
    parts = [f"{rows['lrdsl']['median_us']:.1f} µs"]
    for name, row in rows.items():
        if name != "lrdsl":
            host = " paced by the host" if row.get("paced_by_host") else ""
            parts.append(f"{name} {row['ratio']:.2f}× ({row['ratio_low']:.2f} – {row['ratio_high']:.2f}){host}")
    return "; ".join(parts)
