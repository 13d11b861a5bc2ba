"""Metrics from a file, for ``plot --metric``."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

import click

from lrdsl.cli import inputs
from lrdsl.plotting.trace import Report

if TYPE_CHECKING:
    from lrdsl.schedule import Schedule


def reports(path: str) -> list[Report]:
    """A CSV file in the order of its steps: a column ``step``, then one for each metric. An empty cell is no report."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return sorted(_read(file), key=lambda report: report.step)
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise click.BadParameter(f"cannot read {path}: {reason}") from None


def _read(file: TextIO) -> Iterator[Report]:
    rows = csv.reader(file)
    first, *metrics = [name.strip() for name in next(rows, [""])] or [""]
    if first != "step" or not metrics:
        raise ValueError("expected a first line such as step,loss")
    for row in filter(None, rows):
        where = f"line {rows.line_num}"
        if len(row) != len(metrics) + 1:
            raise ValueError(f"{where}: expected {len(metrics) + 1} cells, got {len(row)}")
        try:
            step = inputs.steps(row[0].strip())
        except click.BadParameter as error:
            raise ValueError(f"{where}: {error.message}") from None
        for metric, cell in zip(metrics, row[1:], strict=True):
            if cell.strip():
                yield Report(step, metric, _number(cell, where))


def _number(cell: str, where: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise ValueError(f"{where}: expected a number, got {cell!r}") from None


def check(reports: Iterable[Report], schedules: Sequence[Schedule]) -> None:
    """Raise unless some schedule listens to something in the file.

    Raises:
        click.UsageError: None does.
    """
    heard = dict.fromkeys(metric for schedule in schedules for metric in schedule.metrics)
    told = dict.fromkeys(report.metric for report in reports)
    if not heard.keys() & told.keys():
        listens = f"listens to {', '.join(heard)}" if heard else "listens to no metric"
        raise click.UsageError(f"--metric reports {', '.join(told) or 'nothing'}; the schedule {listens}")
