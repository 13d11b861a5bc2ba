"""Every strategy of the field as a named row: a text, where it comes from, how to draw it, and what it must equal.

`ramps`, `decays`, `cycles` and `combinations` hold what the libraries offer, `articles` what introductions teach,
`language_models` and `vision` what published runs used.
The page ``docs/gallery.md`` and its pictures are made from the rows (``python -m gallery``); ``tests/gallery`` holds
each row against its oracles.
"""

from gallery import articles, combinations, cycles, decays, language_models, ramps, vision
from gallery.rows import Strategy

CHAPTERS: dict[str, tuple[Strategy, ...]] = {
    "By shape": (*ramps.RAMPS, *decays.DECAYS, *cycles.CYCLES, *combinations.COMBINATIONS),
    "What introductions teach": articles.ARTICLES,
    "Recipes": (*language_models.LANGUAGE_MODELS, *vision.VISION),
}
"""Title → rows, in the order of the page."""

STRATEGIES = tuple(strategy for chapter in CHAPTERS.values() for strategy in chapter)
