"""Curves as numbers: a table, JSON or CSV."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from lrdsl.cli import output
from lrdsl.plotting import curve

if TYPE_CHECKING:
    from lrdsl.plotting.trace import Report
    from lrdsl.schedule import Schedule


@dataclass(frozen=True, slots=True)
class Values:
    """What some schedules are worth at the same steps."""

    steps: Sequence[int]
    texts: Sequence[str]
    names: Sequence[str]  # of the targets
    columns: Sequence[Sequence[float]]  # one for each text

    def table(self) -> None:
        """Print a table, above it the texts if there are several."""
        several = len(self.texts) > 1
        for index, text in enumerate(self.texts if several else ()):
            click.echo(f"[{index + 1}] {text}")
        headers = ["step", *(f"[{i + 1}]" if several else name for i, name in enumerate(self.names))]
        output.table(headers, self._rows(), left=-1)

    def json(self) -> None:
        """Print a list of one object for each text."""
        rows = zip(self.texts, self.names, self.columns, strict=True)
        _dump([{"text": text, "target": name, "steps": self.steps, "values": found} for text, name, found in rows])

    def csv(self) -> None:
        """Print a column of steps, then one for each text: headed by what it is of, or by the text if more are."""
        import csv
        import io

        written = io.StringIO()
        writer = csv.writer(written, lineterminator="\n")
        writer.writerow(["step", *(self.texts if len(self.texts) > 1 else self.names)])
        writer.writerows(self._rows())
        click.echo(written.getvalue(), nl=False)

    def _rows(self) -> list[list[str]]:
        return [[str(step), *map(repr, row)] for step, *row in zip(self.steps, *self.columns, strict=True)]


def values(
    schedules: Sequence[Schedule],
    target: str | None,
    group: str | int | None,
    steps: Sequence[int],
    reports: list[Report] | None,
) -> Values:
    """The values of one target of every schedule, at its first state or under a list of reports."""
    picked = [curve.subject(schedule, target, group) for schedule in schedules]
    asked = [curve.value_of(s, name, which, reports) for s, (name, which) in zip(schedules, picked, strict=True)]
    names = [name if which is None else f"{name}[{which}]" for name, which in picked]
    return Values(steps, [str(s) for s in schedules], names, [[value(step) for step in steps] for value in asked])


def points(curves: Sequence[curve.Curve]) -> list[int]:
    """The steps at which some curve has a point."""
    return sorted({step for c in curves for step in c.steps})


def json(curves: Sequence[curve.Curve]) -> None:
    """Print points and segments of every curve."""
    _dump(
        [
            {
                "text": c.text,
                "axis": c.title,
                "note": c.note,
                "segments": [{"begin": s.begin, "end": s.end, "text": s.label} for s in c.parts],
                "steps": c.steps,
                "values": c.values,
                "moves": c.moves,
            }
            for c in curves
        ]
    )


def _dump(curves: Sequence[dict[str, Any]]) -> None:
    import json

    # JSON has no word for a rate that is not a number.
    plain = [{**c, "values": [v if math.isfinite(v) else None for v in c["values"]]} for c in curves]
    click.echo(json.dumps(plain))
