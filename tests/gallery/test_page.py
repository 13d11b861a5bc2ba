"""The page and its pictures are what the rows say."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from gallery import STRATEGIES
from gallery.page import PAGE, PICTURES, page, stale


def test_nothing_is_stale() -> None:
    assert [path.name for path in stale()] == [], "run `python -m gallery`"


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r'src="([^"]+)"|\]\((metrics[^)]*)\)', page()):
        assert (PAGE.parent / "".join(target)).exists(), target


def test_every_strategy_has_a_heading_and_anchors_are_unique() -> None:
    titles = re.findall(r"^### (.+)$", page(), re.MULTILINE)
    assert titles == [strategy.title for strategy in STRATEGIES]
    assert len(titles) == len(set(titles))


def test_pictures_are_small_and_well_formed() -> None:
    for path in PICTURES.glob("*.svg"):
        content = path.read_text("utf-8")
        ElementTree.fromstring(content)
        assert len(content) < 40_000, path.name
