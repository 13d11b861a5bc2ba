"""What must hold for any text and any packed Program, however damaged. A failure is an AssertionError, or anything else
that is not a `ScheduleError`.
"""

from __future__ import annotations

import math
import re
import struct
from array import array
from typing import Any

import lrdsl
from lrdsl.errors import CODES, ScheduleError
from lrdsl.evaluators import native
from lrdsl.evaluators.vector import VectorEvaluator
from lrdsl.language.printer import render
from lrdsl.program.program import STEPS
from lrdsl.syntax.parser import parse
from tests.fuzz.packs import unpack

BASES = {"weight_decay": 0.1, "momentum": 0.9, "beta1": 0.9}
UNITS = {"steps_per_epoch": 100, "tokens_per_step": 1e6, "samples_per_step": 256}
CONTEXTS: list[dict[str, Any]] = [
    {"base_lr": 1e-3, "total_steps": 10_000, **UNITS, "params": {"warm": 500, "peak_k": 0.5}, "bases": BASES},
    {"base_lr": 1.0},
    {"base_lr": 0.0, "total_steps": 1, "steps_per_epoch": 1e-300, "params": {"v": -7}},
    {"base_lr": 1e308, "total_steps": STEPS - 1, "tokens_per_step": 1e-300, "params": {"v": 1e308}, "bases": BASES},
]
REPORTS = (1.0, 0.5, math.nan, 0.75, 0.75, 0.8, math.inf, -0.0)
_BLANK = re.compile(r'("[^"]*")|(?<![A-Za-z0-9_]) | (?![A-Za-z0-9_])')


def check_syntax(text: str) -> None:
    """It parses, prints, and parses to the same tree; or there is an error with a place."""
    try:
        script = parse.__wrapped__(text)
    except ScheduleError as error:
        check_error(error, text)
        return
    canonical = render(script)
    assert "\n" not in canonical
    if len(canonical) <= len(text) * 16:  # suffixes written out may pass the longest text
        again = parse.__wrapped__(canonical)
        assert render(again) == canonical
        assert parse.__wrapped__(without_blanks(canonical)) == again


def check_text(text: str, context: dict[str, Any]) -> bool:
    """It compiles, to the same Programs as its canonical text, which every evaluator runs alike; or there is an error
    with a place. True if it compiles.
    """
    try:
        schedule = lrdsl.compile(text, **context)
    except ScheduleError as error:
        check_error(error, text)
        return False
    for note in schedule.notes:
        assert note.code in CODES and (note.span is None or 0 <= note.span[0] <= note.span[1] <= len(text))
        assert note.render(text).startswith(note.code)
    packs = packed(schedule)
    canonical = str(schedule)
    for same in (canonical, without_blanks(canonical)):
        again = lrdsl.compile(same, **context)
        assert str(again) == canonical and packed(again) == packs
    for track in schedule.tracks.values():
        check_evaluators(VectorEvaluator(track.program), track.program.pack())
    return True


def packed(schedule: lrdsl.Schedule) -> dict[Any, bytes]:
    """Every Program of a schedule as bytes."""
    return {key: track.program.pack() for key, track in schedule.tracks.items()}


def without_blanks(canonical: str) -> str:
    """A canonical text with only the blanks that keep two words apart."""
    return _BLANK.sub(lambda found: found[1] or "", canonical)


def check_error(error: ScheduleError, text: str) -> None:
    """A known code, short sentences, a place inside the text, and a rendering."""
    assert error.code in CODES
    assert error.message and len(error.message) < 1000 and len(error.hint or "") < 1000
    if error.span is not None:
        assert 0 <= error.span[0] <= error.span[1] <= len(text)
        assert error.text == text
    shown = str(error)
    assert shown.startswith(f"{error.code}: ")
    assert all(c in "\n\t" or c.isprintable() for c in shown)


def check_pack(data: bytes) -> bool:
    """Python's verifier and C++'s agree, and what they accept runs alike in every evaluator. True if accepted."""
    try:
        evaluator = VectorEvaluator(unpack(data))
    except ValueError:
        evaluator = None
    except OverflowError:  # C++ compares metrics by number and needs no names
        return False
    module = native.extension()
    if module is not None:
        try:
            module.Program(data)
        except ValueError as error:
            assert evaluator is None, f"only C++ refuses: {error}"
        else:
            assert evaluator is not None, "only Python refuses"
    if evaluator is None:
        return False
    assert evaluator.program.pack() == data
    check_evaluators(evaluator, data)
    return True


def check_evaluators(evaluator: VectorEvaluator, data: bytes) -> None:
    """The bits of the reference, a step at a time, from NumPy and C++, before and after some reports."""
    program, module = evaluator.program, native.extension()
    compiled = module and module.Program(data)
    edges = [segment.begin + d for segment in (*program.segments[:2], program.segments[-1]) for d in (-1, 0)]
    steps = array("q", sorted({step for step in (*edges, 1, 1000, STEPS) if 0 <= step < 2**62}))
    state, copy = array("d", program.state), array("d", program.state)

    def compare() -> None:
        expected = bits(evaluator.value(step, state) for step in steps)
        assert bits(evaluator.values(steps, state)) == expected, program.listing()
        if compiled:
            got = array("d", bytes(8 * len(steps)))
            compiled.values(steps, copy, got)
            assert bits(got) == expected, program.listing()
            assert bits([compiled.value(steps[-1], copy)]) == expected[-1:]

    compare()
    for index, report in enumerate(REPORTS if program.machines else ()):
        machine = program.machines[index % len(program.machines)]
        step = min(machine.begin + index, STEPS)
        skipped = index % 3 == 2
        evaluator.observe(program.metrics[machine.metric], report, step, state, skipped)
        if compiled:
            compiled.observe(machine.metric, report, step, copy, skipped)
            assert bits(copy) == bits(state), program.listing()
    if program.machines:
        compare()


def bits(values: Any) -> list[bytes]:
    """Bit patterns; every nan is one."""
    return [b"nan" if value != value else struct.pack("<d", value) for value in values]
