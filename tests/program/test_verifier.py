"""What the verifier refuses, in Python and in C++ alike."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lrdsl
from lrdsl import evaluators
from lrdsl.program.opcodes import NUMBER
from lrdsl.program.program import Code, Program, Segment
from lrdsl.program.verifier import verify

GOOD = lrdsl.compile("(warmup(5) | plateau()) >> cosine(10)", base_lr=1.0).program()


def code(*names: str, argument: int = 0) -> tuple[tuple[int, int], ...]:
    return tuple((NUMBER[name], argument) for name in names)


def one(*names: str, argument: int = 0) -> Program:
    return Program((Segment(0, Code(0, len(names))),), (), code(*names, argument=argument), (1.0,), (), (), (), 2, 1)


BAD = {
    "no segment": dataclasses.replace(GOOD, segments=()),
    "late start": dataclasses.replace(GOOD, segments=GOOD.segments[1:]),
    "backward segments": dataclasses.replace(GOOD, segments=(GOOD.segments[0], *GOOD.segments[::-1])),
    "code outside": dataclasses.replace(GOOD, segments=(Segment(0, Code(len(GOOD.code), 1)),)),
    "empty code": dataclasses.replace(GOOD, segments=(Segment(0, Code(0, 0)),)),
    "negative start": dataclasses.replace(GOOD, segments=(Segment(0, Code(-1, 2)),)),
    "no machine for the slots": dataclasses.replace(GOOD, machines=()),
    "machine beyond the slots": dataclasses.replace(GOOD, machines=(dataclasses.replace(GOOD.machines[0], slots=99),)),
    "machine at a wrong slot": dataclasses.replace(GOOD, machines=(dataclasses.replace(GOOD.machines[0], slot=1),)),
    "scope backwards": dataclasses.replace(GOOD, machines=(dataclasses.replace(GOOD.machines[0], begin=9, end=3),)),
    "neither skipped nor not": dataclasses.replace(
        GOOD,
        machines=(dataclasses.replace(GOOD.machines[0], skipped=2),),  # type: ignore[arg-type]
    ),
    "stack too small": dataclasses.replace(GOOD, stack=1),
    "stack too large": dataclasses.replace(GOOD, stack=65),
    "locals too large": dataclasses.replace(GOOD, locals=65),
    "underflow": one("ADD"),
    "overflow": one("STEP", "STEP", "STEP", "ADD", "ADD"),
    "two results": one("STEP", "STEP"),
    "constant out of range": one("CONSTANT", argument=1),
    "negative argument": one("CONSTANT", argument=-1),
    "argument of an operation": one("STEP", "NEG", argument=1),
    "state out of range": one("STATE"),
    "local out of range": one("STEP", "STORE", argument=1),
    "local never written": one("LOAD"),
    "report in a segment": one("REPORT"),
    "unknown opcode": dataclasses.replace(one("STEP"), code=((200, 0),)),
}


@pytest.mark.parametrize("program", BAD.values(), ids=BAD.keys())
def test_a_bad_program_is_refused(program: Program) -> None:
    with pytest.raises(ValueError):
        verify(program)


@pytest.mark.skipif(evaluators.native.extension() is None, reason="not run: no extension")
@pytest.mark.parametrize("program", BAD.values(), ids=BAD.keys())
def test_a_bad_program_is_refused_natively(program: Program) -> None:
    with pytest.raises(ValueError):
        evaluators.evaluator(program, "native")


def test_a_good_program_passes() -> None:
    verify(GOOD)
    verify(one("STEP"))


@pytest.mark.skipif(evaluators.native.extension() is None, reason="not run: no extension")
@settings(max_examples=3000)
@given(st.data())
def test_mutated_bytes_never_crash(data: st.DataObject) -> None:
    """Whatever the C++ verifier lets in runs to its end inside its bounds."""
    from array import array

    packed = bytearray(GOOD.pack())
    for _ in range(data.draw(st.integers(1, 4))):
        word = data.draw(st.integers(0, len(packed) // 8 - 1))
        packed[8 * word : 8 * word + 8] = data.draw(st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 300)).to_bytes(
            8, "little", signed=True
        )
    module = evaluators.native.extension()
    assert module is not None
    try:
        program = module.Program(bytes(packed))
    except ValueError:
        return
    state = array("d", [0.0] * 64)
    program.value(3, state)
    program.observe(0, 1.0, 3, state)
