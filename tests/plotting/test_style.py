"""Colours that survive grey printing and both page colours; long texts in lines."""

from __future__ import annotations

from itertools import combinations

import pytest

from lrdsl.plotting import style


def lightness(colour: str) -> float:
    """CIE L* of an sRGB colour."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return 116 * luminance ** (1 / 3) - 16 if luminance > 0.008856 else 903.3 * luminance


@pytest.mark.parametrize(("palette", "page"), [(style.LIGHT, "#ffffff"), (style.DARK, "#0d1117")])
def test_colours_differ_in_grey_and_stand_out(palette: tuple[str, ...], page: str) -> None:
    grey = [lightness(colour) for colour in palette]
    assert all(abs(a - b) >= 8 for a, b in combinations(grey[:4], 2))
    assert all(abs(g - lightness(page)) >= 38 for g in grey)


def test_every_colour_has_its_own_dashes() -> None:
    assert len(style.LIGHT) == len(style.DARK) == len(set(style.DASHES)) == len(style.DASHES)


def test_a_text_breaks_before_an_operator() -> None:
    text = "warmup(500) >> cosine(10000, to=1e-6) | plateau(patience=3)"
    assert style.wrap(text, 80) == [text]
    assert style.wrap(text, 40) == ["warmup(500) >> cosine(10000, to=1e-6)", "| plateau(patience=3)"]


def test_a_very_long_text_is_cut() -> None:
    lines = style.wrap(" >> ".join(["hold(10)"] * 100), 50)
    assert len(lines) == 3
    assert lines[-1].endswith("…")
    assert all(len(line) <= 50 for line in lines)
