"""Damage: to a text word by word or character by character, to a packed Program word by word."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Sequence

from lrdsl.language.context import TARGETS
from lrdsl.language.formula import FOLDS, FUNCTIONS, NAMES
from lrdsl.primitives import MODIFIERS, SEGMENTS
from lrdsl.program.opcodes import OPCODES

WORDS = (
    *SEGMENTS,
    *MODIFIERS,
    *FUNCTIONS,
    *FOLDS,
    *NAMES,
    *TARGETS,
    *dict.fromkeys(p.name for primitive in (*SEGMENTS.values(), *MODIFIERS.values()) for p in primitive.parameters),
    *("let w =", "rest", "inf", "true", "false", "none", "until", "lrdsl 1;", "lr[head] =", "w", "a", "warm", "loss"),
    *(">>", "|", "+", "-", "*", "/", "**", "<", "<=", "==", "!=", ">=", ">", "=", ";", ",", "(", ")", "[", "]", "#"),
    *("0", "1", "2", "3", "7", "10", "100", "0.5", "0.9", "1e-6", "2.5", "1e300", "9e-300", "9007199254740991", "1_0"),
    *("0.1x", "1x", "10%", "50%", "100%", "3ep", "0.3ep", "2Btok", "256_000smp", "10k", "0.01M", '"a.b"', "1e99999"),
    *("1.", ".5", "10K", "$", "'", "é", "日", "\x00", "\u202e", "\ud800", "\n", "\t", "\r", "\\", "%", '"', "{"),
)
"""Words of the language, and things that are none."""
NUMBERS = (0.0, -0.0, 1.0, -1.0, 0.5, 3.0, 1e-3, 5e-324, 1e308, 2.0**53, float("inf"), float("-inf"), float("nan"))
ALIKE = {arity: [n for n, row in enumerate(OPCODES) if row.arity == arity] for arity in range(4)}
"""Opcodes by how many numbers they take."""

_WORD = re.compile(r"[A-Za-z_]\w*|[0-9][0-9.a-zA-Z_%]*|>>|\*\*|[<>=!]=|\s+|.", re.DOTALL)


def mutated_text(text: str, others: Sequence[str], rng: random.Random) -> str:
    """`text` after one to four changes, some of them taken from another text."""
    words = _WORD.findall(text)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(words) + 1)
        end = min(len(words), at + rng.choice((1, 1, 2, 5)))
        match rng.randrange(8):
            case 0:
                del words[at:end]
            case 1:
                words[at:at] = words[at:end]
            case 2:
                words[at:end] = [rng.choice(WORDS)]
            case 3:
                words[at:at] = [rng.choice(WORDS), rng.choice(("", " "))]
            case 4:
                other = _WORD.findall(rng.choice(others))
                start = rng.randrange(len(other) + 1)
                words[at:end] = other[start : start + rng.randrange(1, 12)]
            case 5:
                to = rng.randrange(len(words) + 1)
                words[to:to] = words[at:end]
            case 6 if at < len(words):
                word, where = words[at], rng.randrange(len(words[at]) + 1)
                words[at] = word[:where] + chr(rng.choice((rng.randrange(128), rng.randrange(0x3000)))) + word[where:]
            case 7 if words[at : at + 1] and words[at][:1].isdigit():
                words[at] = rng.choice((str(rng.randrange(1000)), f"{rng.random():.3g}", words[at] + words[at]))
    return "".join(words)


def mutated_pack(data: bytes, rng: random.Random) -> bytes:
    """`data` after one to four changed words, the header and the first tables more often than the rest."""
    words = list(struct.unpack(f"<{len(data) // 8}Q", data[: len(data) // 8 * 8]))
    if rng.randrange(16) == 0:
        words = words[: rng.randrange(len(words) + 1)]
    if not words:
        return data[:7]
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(words) if rng.randrange(3) else min(len(words), 40))
        word = words[at]
        match rng.randrange(9):
            case 0:
                word = rng.getrandbits(64)
            case 1:
                word = rng.randrange(-2, 300)
            case 2:
                word ^= 1 << rng.randrange(64)
            case 3:
                word = rng.randrange(len(OPCODES) + 2) + rng.randrange(-2, 68) * 256
            case 4:
                word += rng.randrange(-2, 3)
            case 5:
                word = words[rng.randrange(len(words))]
            case 6:
                word = struct.unpack("<Q", struct.pack("<d", rng.choice(NUMBERS)))[0]
            case _ if word & 0xFF < len(OPCODES):
                word = word & ~0xFF | rng.choice(ALIKE[OPCODES[word & 0xFF].arity])
        words[at] = word & 2**64 - 1
    return struct.pack(f"<{len(words)}Q", *words)
