"""PNG files through matplotlib."""

from __future__ import annotations

import builtins
import struct
from typing import Any

import pytest

import lrdsl
from lrdsl.plotting import curve, png

pytest.importorskip("matplotlib", reason="a PNG needs the extra [plot]")


def curves(*texts: str) -> list[curve.Curve]:
    return [curve.of(lrdsl.compile(t, base_lr=1e-3, total_steps=10_500)) for t in texts]


@pytest.mark.parametrize("texts", [("warmup(500) >> cosine(rest) | plateau()",), ("cosine(rest)", "linear(rest)")])
@pytest.mark.parametrize("log", [False, True])
def test_header_and_size(texts: tuple[str, ...], log: bool) -> None:
    content = png.render(curves(*texts), log=log)
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    assert width == 1680
    assert 700 < height < 1200


def test_every_curve_leaves_its_colour() -> None:
    from io import BytesIO

    from matplotlib.image import imread

    from lrdsl.plotting.style import LIGHT

    image = (imread(BytesIO(png.render(curves("cosine(rest)", "linear(rest)"))))[..., :3] * 255).round().astype(int)
    for colour in LIGHT[:2]:
        exact = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (image == exact).all(axis=-1).sum() > 500


def test_a_rate_that_is_not_a_number_breaks_the_line() -> None:
    broken = curve.Curve("$x_1$", "learning rate", (0, 1, 2, 3, 4), (1.0, 1.0, float("nan"), 2.0, 2.0), ())
    assert png.render([broken]).startswith(b"\x89PNG")


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(f"No module named {name!r}", name="matplotlib")
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r"lrdsl\[plot\]"):
        png.render(curves("cosine(9)"))
