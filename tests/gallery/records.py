"""What other libraries gave when they were run: one file each, replayed where they are not installed.

``python -m tests.gallery.records [LIBRARY ...]`` runs those that are installed and writes their files.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from gallery import STRATEGIES
from gallery.rows import Peer, Replay, Variant
from tests.gallery import drivers

FOLDER = Path(__file__).resolve().parent.parent / "data" / "peers"

Row = tuple[Variant, Peer | Replay]


def rows() -> Iterator[tuple[str, Row]]:
    """Every comparison with a peer, and its name."""
    for strategy in STRATEGIES:
        for index, variant in enumerate(strategy.variants):
            found: dict[str, int] = {}
            for oracle in variant.oracles:
                if isinstance(oracle, Peer | Replay) and oracle.library:
                    found[oracle.library] = found.get(oracle.library, 0) + 1
                    number = f"-{found[oracle.library]}" if found[oracle.library] > 1 else ""
                    yield f"{oracle.library}-{strategy.name}-{index}{number}", (variant, oracle)


def run(variant: Variant, oracle: Peer | Replay) -> list[float]:
    """The peer's values, live: at `Peer.recorded`, or after each report."""
    if isinstance(oracle, Replay):
        assert isinstance(oracle.rates, str)
        return drivers.replay(oracle.rates, variant.base, [report for _, report in variant.reports()])
    steps = oracle.recorded
    length = max(oracle.steps, max(steps) + 1)
    values = drivers.rates(oracle.call, variant.base, length)
    return [values[step] for step in steps]


def call(oracle: Peer | Replay) -> str:
    """The peer's expression."""
    return oracle.call if isinstance(oracle, Peer) else str(oracle.rates)


def at(variant: Variant, oracle: Peer | Replay) -> list[int]:
    """The steps of the peer's values."""
    return oracle.recorded if isinstance(oracle, Peer) else [step for step, _ in variant.reports()]


@cache
def load(library: str) -> dict[str, Any]:
    """A library's file; empty if there is none."""
    path = FOLDER / f"{library}.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def record(library: str) -> None:
    """Run every row of an installed library and write its file."""
    curves = {}
    for name, (variant, oracle) in rows():
        if oracle.library == library:
            steps = at(variant, oracle)
            curves[name] = {
                "call": call(oracle), "base": variant.base, "steps": steps, "values": run(variant, oracle)
            }  # fmt: skip
    written = ",\n".join(f"  {json.dumps(name)}: {json.dumps(curve)}" for name, curve in curves.items())
    content = (
        f'{{\n "library": "{library}",\n "version": "{drivers.version(library)}",\n "curves": {{\n{written}\n }}\n}}\n'
    )
    (FOLDER / f"{library}.json").write_text(content, "utf-8")
    print(f"{library} {drivers.version(library)}: {len(curves)} curves")


def main(libraries: list[str]) -> int:
    """Record each library in a process of its own: some do not bear each other."""
    known = dict.fromkeys(oracle.library for _, (_, oracle) in rows() if oracle.library != "torch")
    if len(libraries) == 1:
        record(libraries[0])
        return 0
    codes = []
    for library in libraries or known:
        if drivers.version(library) is None:
            print(f"not run: {library} is not installed")
        else:
            codes.append(
                subprocess.run([sys.executable, "-m", "tests.gallery.records", library], check=False).returncode
            )
    return max(codes, default=0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
