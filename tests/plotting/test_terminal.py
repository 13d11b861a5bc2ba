"""Terminal plots as golden files at 80 columns; read them when they change."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import lrdsl
from lrdsl.plotting import curve, terminal

GOLDEN = Path(__file__).parent.parent / "golden" / "terminal"
EXAMPLE = "warmup(500) >> cosine(10000, min=1e-6) | plateau(patience=3)"
PLOTS: dict[str, tuple[tuple[str, ...], dict[str, bool]]] = {
    "example": ((EXAMPLE,), {}),
    "log": ((EXAMPLE,), {"log": True}),
    "overlay": ((EXAMPLE, "warmup(2%) >> hold(rest) >> linear(10%)", "warmup(1k) >> inverse_sqrt(1k)"), {}),
    "jumps": (("repeat(3, cosine(1000), mult=2) >> constant(0.5x, n=2000) >> constant(0.1x, n=1500)",), {}),
    "plain": (("warmup(500) >> cosine(10000)",), {"boundaries": False}),
    "flat": (("hold()",), {}),
}


def curves(texts: tuple[str, ...], log: bool = False) -> list[curve.Curve]:
    return [curve.of(lrdsl.compile(t, base_lr=1e-3, total_steps=10_500), log=log) for t in texts]


@pytest.mark.parametrize("encoding", ["utf8", "ascii"])
@pytest.mark.parametrize("name", PLOTS)
def test_golden(name: str, encoding: str, golden: Callable[[Path, str], None]) -> None:
    texts, how = PLOTS[name]
    drawn = terminal.render(curves(texts, how.get("log", False)), unicode=encoding == "utf8", **how)
    assert all(len(line) <= 80 and line == line.rstrip() for line in drawn.splitlines())
    assert encoding == "utf8" or drawn.isascii()
    golden(GOLDEN / f"{name}.{encoding}.txt", drawn)


def test_relative_rates_in_ascii() -> None:
    relative = curve.of(lrdsl.compile("cosine(100)", base_lr=1), relative=True)
    assert "learning rate (x base) by step" in terminal.render([relative], unicode=False)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_width(width: int) -> None:
    drawn = terminal.render(curves((EXAMPLE,)), width=width).splitlines()
    assert all(len(line) <= width for line in drawn)
    assert max(map(len, drawn)) == width


def test_colour_adds_nothing_but_colour() -> None:
    shown = curves(PLOTS["overlay"][0])
    coloured = terminal.render(shown, colour=True)
    assert len(set(re.findall(r"\x1b\[3\dm", coloured))) == 3
    bare = "\n".join(line.rstrip() for line in re.sub(r"\x1b\[\d+m", "", coloured).splitlines()) + "\n"
    assert bare == terminal.render(shown)


def test_every_overlaid_curve_is_seen() -> None:
    drawn = terminal.render(curves(tuple(f"constant({i}e-4)" for i in range(1, 7))), unicode=False)
    assert all(drawn.count(mark) > 40 for mark in terminal.MARKS)


def test_a_rate_that_is_not_a_number_leaves_a_gap() -> None:
    broken = curve.Curve("text", "learning rate", (0, 1, 2, 3, 4), (1.0, 1.0, float("nan"), 1.0, 1.0), ())
    row = next(line for line in terminal.render([broken], unicode=False).splitlines() if "*" in line)
    assert re.search(r"\*{10,} {20,}\*{10,}", row)


def test_a_jump_is_upright_however_few_the_steps() -> None:
    drawn = curve.of(lrdsl.compile("cycle(constant(1, 4) >> constant(0, 1))", base_lr=1), end=9)
    rows = [line.partition("|")[2] for line in terminal.render([drawn], unicode=False).splitlines() if "|" in line]
    columns = {tuple(i for i, mark in enumerate(row) if mark == "*") for row in rows if 0 < row.count("*") < 9}
    assert [len(found) for found in columns] == [3]
