"""Every strategy of the field as a named row: a text, where it comes from, how to draw it, and what it must equal.

`families` holds what the libraries offer, `articles` what introductions teach, `recipes` what published runs used.
The page ``docs/gallery.md`` and its pictures are made from the rows (``python -m gallery``); ``tests/gallery`` holds
each row against its oracles.
"""

from gallery import articles, compositions, families, recipes
from gallery.rows import Strategy

CHAPTERS: dict[str, tuple[Strategy, ...]] = {
    "By shape": (*families.SHAPES, *compositions.SHAPES),
    "What introductions teach": articles.FIRST,
    "Recipes": recipes.RECIPES,
}
"""Title → rows, in the order of the page."""

STRATEGIES = tuple(strategy for chapter in CHAPTERS.values() for strategy in chapter)
