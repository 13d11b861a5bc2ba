"""One libFuzzer process: ``python -m tests.fuzz.harness TARGET [libFuzzer options] [folders]``.

| target | an input is | what must hold |
| --- | --- | --- |
| syntax | a text | `check_syntax` |
| text | a text | `check_text` |
| grammar | choices of the generator | `check_text` |
| program | a packed Program | `check_pack` |
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["lrdsl"]):
    from tests.fuzz.corpus import context_of, packs, texts
    from tests.fuzz.generator import text_from
    from tests.fuzz.mutators import mutated_pack, mutated_text
    from tests.fuzz.properties import check_pack, check_syntax, check_text

Mutator = Callable[[bytes, int, int], bytes]


def decoded(data: bytes) -> str:
    """Any bytes as a text; what is no UTF-8 becomes lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


def _check_text(text: str) -> None:
    check_text(text, context_of(text))


TARGETS: dict[str, Callable[[bytes], object]] = {
    "syntax": lambda data: check_syntax(decoded(data)),
    "text": lambda data: _check_text(decoded(data)),
    "grammar": lambda data: _check_text(text_from(data)),
    "program": check_pack,
}


def text_mutator() -> Mutator:
    """Half libFuzzer's own, half by words."""
    others = texts()

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        if seed % 2:
            return atheris.Mutate(data, max_size)
        text = mutated_text(decoded(data), others, random.Random(seed))
        return text.encode("utf-8", "surrogatepass")[:max_size]

    return mutate


def pack_mutator() -> Mutator:
    """A tenth libFuzzer's own: bytes out of place are refused at once."""
    seeds = packs()

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        if seed % 10 == 0:
            return atheris.Mutate(data, max_size)
        rng = random.Random(seed)
        return mutated_pack(data if len(data) >= 64 else rng.choice(seeds), rng)[:max_size]

    return mutate


MUTATORS: dict[str, Callable[[], Mutator]] = {"syntax": text_mutator, "text": text_mutator, "program": pack_mutator}


def main() -> None:
    """Fuzz until libFuzzer's options say that it is enough, or something is found."""
    target = sys.argv.pop(1)
    mutator = {"custom_mutator": MUTATORS[target]()} if target in MUTATORS else {}
    atheris.Setup(sys.argv, TARGETS[target], **mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
