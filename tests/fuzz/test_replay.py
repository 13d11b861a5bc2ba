"""Every find again, and 20,000 mutations with fixed seeds; `make fuzz` goes on from there without an end."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.corpus import FOLDER, context_of, packs, read_pack, read_text, texts
from tests.fuzz.generator import text_from
from tests.fuzz.mutators import mutated_pack, mutated_text
from tests.fuzz.properties import CONTEXTS, check_pack, check_syntax, check_text

PARTS = range(5)
GENERATED, COMPILED, MUTATED, DAMAGED = 1700, 600, 1200, 1100
"""Texts and Programs of a part; five of them are 20,000, of which 3,000 texts compile."""


@pytest.mark.parametrize("path", sorted((FOLDER / "texts").glob("*.txt")), ids=lambda path: path.stem)
def test_texts_that_were_found(path) -> None:
    check_syntax(read_text(path))
    for context in CONTEXTS:
        check_text(read_text(path), context)


@pytest.mark.parametrize("path", sorted((FOLDER / "programs").glob("*.hex")), ids=lambda path: path.stem)
def test_programs_that_were_found(path) -> None:
    check_pack(read_pack(path))


@pytest.mark.parametrize("part", PARTS)
def test_generated_texts(part: int) -> None:
    rng = random.Random(f"generated {part}")
    made = [text_from(rng.randbytes(rng.randrange(4, 80))) for _ in range(GENERATED)]
    assert sum(check_text(text, CONTEXTS[0]) for text in made) >= COMPILED


@pytest.mark.parametrize("part", PARTS)
def test_mutated_texts(part: int) -> None:
    rng, seeds = random.Random(f"mutated {part}"), texts()
    accepted = 0
    for _ in range(MUTATED):
        text = mutated_text(rng.choice(seeds), seeds, rng)
        check_syntax(text)
        accepted += check_text(text, context_of(text))
    assert MUTATED // 50 < accepted < MUTATED - MUTATED // 50  # both happen often


@pytest.mark.parametrize("part", PARTS)
def test_mutated_programs(part: int) -> None:
    rng, seeds = random.Random(f"programs {part}"), packs()
    accepted = sum(check_pack(mutated_pack(rng.choice(seeds), rng)) for _ in range(DAMAGED))
    assert DAMAGED // 20 < accepted < DAMAGED - DAMAGED // 20


def test_programs_of_texts_are_accepted() -> None:
    assert sum(map(check_pack, packs())) > 100
