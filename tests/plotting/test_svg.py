"""SVG files: well-formed, self-contained, with everything that was asked for."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

import lrdsl
from lrdsl.plotting import curve, svg

SVG = "{http://www.w3.org/2000/svg}"
EXAMPLE = "warmup(500) >> cosine(10000, min=1e-6) | plateau(patience=3)"


def curves(*texts: str, **how: bool) -> list[curve.Curve]:
    return [curve.of(lrdsl.compile(t, base_lr=1e-3, total_steps=10_500), **how) for t in texts]  # type: ignore[arg-type]


def parsed(*texts: str, **how: bool) -> ElementTree.Element:
    return ElementTree.fromstring(svg.render(curves(*texts, log=how.get("log", False)), **how))


def lines(root: ElementTree.Element) -> list[str]:
    """The paths of the curves; samples in the legend are the ones with an H."""
    paths = [p.get("d", "") for p in root.iter(f"{SVG}path") if "line" in (p.get("class") or "").split()]
    return [path for path in paths if "H" not in path]


def words(root: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
def test_one_path_per_text(count: int) -> None:
    texts = [f"warmup({100 * (i + 1)}) >> cosine(rest)" for i in range(count)]
    root = parsed(*texts)
    assert len(lines(root)) == count
    assert set(texts) <= set(words(root))


@pytest.mark.parametrize(
    "texts", [(EXAMPLE,), (EXAMPLE, "linear(total)"), ('lr["a<b>&c"] = constant(0); lr = hold()',)]
)
def test_the_file_needs_nothing_from_elsewhere(texts: tuple[str, ...]) -> None:
    content = svg.render(curves(*texts))
    ElementTree.fromstring(content)
    assert set(re.findall(r"\w+://[^\"'\s]+", content)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(script|image|use|a|foreignObject)\b|@import|url\(|href|\bid=", content)


def test_title_and_size() -> None:
    root = parsed(EXAMPLE)
    title = root[0]
    assert (title.tag, title.text) == (
        f"{SVG}title",
        "Learning-rate schedule: warmup(500) >> cosine(10000, to=1e-6) | plateau(patience=3)",
    )
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
    assert root.get("style") is None
    assert "cuts depend on the observed loss" in words(root)


def test_light_and_dark_pages() -> None:
    style = parsed(EXAMPLE).findtext(f"{SVG}style") or ""
    plain, dark = style.split("@media (prefers-color-scheme:dark)")
    light, narrow = plain.split("@media (min-width:0)")
    assert narrow == "{.lrdsl{max-width:100%;height:auto}}\n"
    for rules in (light, dark):
        assert all(part in rules for part in (".page{", "text{", ".head{", ".grid{", ".c0{"))
    selectors = [
        s for rule in re.findall(r"([^{}]+)\{", light + dark.strip().removeprefix("{")) for s in rule.split(",")
    ]
    assert all(selector.strip().startswith(".lrdsl") for selector in selectors)


@pytest.mark.parametrize("texts", [(EXAMPLE,), (EXAMPLE, "linear(rest)")])
def test_what_knows_no_media_rules_finds_every_look(texts: tuple[str, ...]) -> None:
    root = parsed(*texts)
    plain = (root.findtext(f"{SVG}style") or "").partition("@media")[0]
    assert not re.search(r"var\(|paint-order|[^-]font:|width:100|height|--", plain)
    used = {name for element in root.iter() for name in (element.get("class") or "").split()}
    assert used - {"lrdsl"} <= set(re.findall(r"[.]lrdsl [.](\w+)", plain))


def test_every_name_stands_on_a_halo() -> None:
    texts = list(parsed("warmup(500) >> cosine(9000, to=0.5x) >> linear(1000)").iter(f"{SVG}text"))
    halos = [i for i, text in enumerate(texts) if text.get("class") == "code halo"]
    assert len(halos) == 3
    for i in halos:
        below, name = texts[i], texts[i + 1]
        assert (name.get("class"), below.get("aria-hidden")) == ("code", "true")
        assert (below.text, below.get("x"), below.get("y")) == (name.text, name.get("x"), name.get("y"))


def test_the_path_goes_through_the_values() -> None:
    root = parsed("hold(5000) >> constant(5e-4, n=5500)")
    points = [tuple(map(float, p.split())) for p in lines(root)[0].removeprefix("M").split("L")]
    _, (left, high), (right, low), *_ = points
    assert right - left < 0.2
    grid = [float(p.get("d", "").split()[1].split("H")[0]) for p in root.iter(f"{SVG}path") if p.get("class") == "grid"]
    assert any(abs(high - y) < 0.1 for y in grid)
    assert low > high


def test_boundaries_have_names_and_tooltips() -> None:
    root = parsed("warmup(500) >> cosine(10000)")
    assert {"warmup(500)", "cosine(10000)"} <= set(words(root))
    assert len([p for p in root.iter(f"{SVG}path") if p.get("class") == "edge"]) == 1
    tips = [r.findtext(f"{SVG}title") for r in root.iter(f"{SVG}rect") if len(r)]
    assert tips[0] == "warmup(500): steps 0 to 499, 0 to 9.98e-4"


def test_no_boundaries() -> None:
    root = parsed("warmup(500) >> cosine(10000)", boundaries=False)
    assert "warmup(500)" not in words(root)
    assert "edge" not in {p.get("class") for p in root.iter(f"{SVG}path")}


def test_log() -> None:
    assert {"1e-6", "1e-5", "1e-4", "1e-3"} <= set(words(parsed(EXAMPLE, log=True)))


def test_a_rate_that_is_not_a_number_breaks_the_line() -> None:
    broken = curve.Curve("text", "learning rate", (0, 1, 2, 3, 4), (1.0, 1.0, float("nan"), 2.0, 2.0), ())
    (path,) = lines(ElementTree.fromstring(svg.render([broken])))
    assert path.count("M") == 2
    assert "nan" not in path


def test_the_same_picture_every_time() -> None:
    assert svg.render(curves(EXAMPLE)) == svg.render(curves(EXAMPLE))


def test_a_notebook_shows_the_same_picture() -> None:
    schedule = lrdsl.compile(EXAMPLE, base_lr=1e-3, total_steps=10_500)
    assert schedule._repr_svg_() == svg.render(curves(EXAMPLE))
