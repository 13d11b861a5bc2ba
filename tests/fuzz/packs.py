"""Packed Programs read back: the inverse of `Program.pack`, but for the names, which are not in it."""

from __future__ import annotations

import struct

from lrdsl.program.program import MAGIC, Code, Machine, Program, Segment

HEADER, MACHINE = 8, 8


def unpack(data: bytes) -> Program:
    """The Program in `data`; metrics are named by their numbers.

    Raises:
        ValueError: The counts do not describe `data`. Whether the Program is sound is the verifier's business.
        OverflowError: A metric has a number that Python cannot count to.
    """
    if len(data) < 8 * HEADER or len(data) % 8:
        raise ValueError("not words")
    words = struct.unpack(f"<{len(data) // 8}q", data)
    magic, segments, machines, code, constants, state, stack, locals_ = words[:HEADER]
    if magic != MAGIC or min(segments, machines, code, constants, state) < 0:
        raise ValueError("not a packed Program")
    if HEADER + 3 * segments + MACHINE * machines + code + constants + state != len(words):
        raise ValueError("the counts do not add up")
    at = HEADER
    rows = [words[at + 3 * i : at + 3 * i + 3] for i in range(segments)]
    table = tuple(Segment(begin, Code(start, count)) for begin, start, count in rows)
    at += 3 * segments
    owners = [words[at + MACHINE * i : at + MACHINE * (i + 1)] for i in range(machines)]
    machinery = tuple(_machine(*row) for row in owners)
    at += MACHINE * machines
    instructions = tuple((word & 0xFF, word >> 8) for word in words[at : at + code])
    numbers = struct.unpack(f"<{constants + state}d", data[8 * (at + code) :])
    metrics = range(1 + max((machine.metric for machine in machinery), default=-1))
    len(metrics)
    slots = tuple(map(str, range(state)))
    first = numbers[constants:]
    return Program(table, machinery, instructions, numbers[:constants], first, slots, metrics, stack, locals_)  # type: ignore[arg-type]


def _machine(metric: int, begin: int, end: int, slot: int, slots: int, skipped: int, start: int, count: int) -> Machine:
    if skipped not in (0, 1):
        raise ValueError("neither true nor false")
    return Machine(metric, begin, end, slot, slots, bool(skipped), Code(start, count))
