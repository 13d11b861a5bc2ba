"""What a row of the gallery is, and what it can be held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lrdsl

METRICS = Path(__file__).resolve().parent.parent / "docs" / "metrics"
"""Where the recorded metrics of the rows that observe lie."""

CLIMBS = "torch and transformers climb back after the end; here the last value is held"
SINGLE = "keras rounds π to single precision"

COMPARED = 120
"""How many pieces a peer's run is cut into."""


@dataclass(frozen=True)
class Formula:
    """A closed form, in plain Python: step → value, at the steps given."""

    value: Callable[[int], float]
    steps: Sequence[int]
    relative: float = 1e-12
    target: str = "lr"
    group: str | None = None


@dataclass(frozen=True)
class Peer:
    """A schedule of another library, as the Python expression that makes it.

    Attributes:
        call: The expression; `tests.gallery.drivers` runs it.
        steps: How many steps are compared, from `first` on.
        first: The first step compared.
        shift: Our step s is their step ``s + shift``.
        relative: How far values may lie apart: the drift of one that multiplies its own last value.
        parts: A step where the two differ on purpose, by more than a per cent; `why` says on what purpose.
        why: What differs, and whose choice it is.
    """

    call: str
    steps: int
    first: int = 0
    shift: int = 0
    relative: float = 1e-12
    parts: int | None = None
    why: str = ""

    @property
    def library(self) -> str:
        """The module that the expression starts with."""
        return self.call.partition(".")[0]

    @property
    def compared(self) -> list[int]:
        """The steps compared: all of a short run, some of a long one."""
        return sorted({self.first + (self.steps - 1) * i // COMPARED for i in range(COMPARED + 1)})

    @property
    def recorded(self) -> list[int]:
        """Their steps that a comparison needs."""
        return [step + self.shift for step in (*self.compared, *([] if self.parts is None else [self.parts]))]


@dataclass(frozen=True)
class Replay:
    """A scheduler or rule that hears the row's reports: from them to the rates after each."""

    rates: Callable[[Sequence[float], float], Sequence[float]] | str
    """A function of the reports and the base, or the expression of a peer."""
    relative: float = 1e-12

    @property
    def library(self) -> str:
        """The module that the expression starts with; empty for a function."""
        return self.rates.partition(".")[0] if isinstance(self.rates, str) else ""


Oracle = Formula | Peer | Replay


@dataclass(frozen=True)
class Variant:
    """One text, what it is bound to, and what it must equal.

    Attributes:
        text: The schedule.
        oracles: What it is held against; at least one.
        base: ``base_lr``.
        context: Other arguments of `lrdsl.compile`.
        metric: Name of a file of reports in ``docs/metrics``.
        target, group: What is drawn; the default is the first that the text names.
        until: The last step drawn, where the default is not the one to show.
        log: Draw it on a logarithmic axis.
    """

    text: str
    oracles: tuple[Oracle, ...]
    base: float = 0.1
    context: Mapping[str, Any] = field(default_factory=dict)
    metric: str | None = None
    target: str | None = None
    group: str | None = None
    until: int | None = None
    log: bool = False

    def compile(self) -> lrdsl.Schedule:
        """The schedule, unobserved."""
        return lrdsl.compile(self.text, base_lr=self.base, **self.context)

    def reports(self) -> list[tuple[int, float]]:
        """The metric's file: (step, report made before it)."""
        lines = (METRICS / f"{self.metric}.csv").read_text("utf-8").splitlines()[1:]
        return [(int(step), float(report)) for step, report in (line.split(",") for line in lines)]


@dataclass(frozen=True)
class Strategy:
    """An entry of the gallery.

    Attributes:
        name: Of its anchor and its pictures.
        title: Its heading.
        about: What it is, who uses it, where it comes from.
        variants: Its texts.
        together: All texts in one picture.
        quoted: The numbers are commonly quoted, not checked against a source.
    """

    name: str
    title: str
    about: str
    variants: tuple[Variant, ...]
    together: bool = False
    quoted: bool = False
