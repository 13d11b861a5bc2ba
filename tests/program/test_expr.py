"""Tracing: the same function computes on floats and builds code on traced numbers."""

from __future__ import annotations

from array import array

import pytest

from lrdsl.evaluators.scalar import ScalarEvaluator
from lrdsl.program.assembler import Assembler
from lrdsl.program.expr import STEP, Expr, const, floor, mix, power, select, sinpi, substitute, symbol
from lrdsl.program.opcodes import OPCODES
from lrdsl.program.program import Segment


def run(root: Expr, step: int = 3) -> float:
    assembler = Assembler()
    program = assembler.finish([Segment(0, assembler.add([root]))], [], [], [], [])
    return ScalarEvaluator(program).value(step, array("d"))


def test_a_traced_number_is_no_condition() -> None:
    with pytest.raises(TypeError, match="select"):
        bool(STEP < 3)


def test_floats_compute_and_traces_build() -> None:
    assert sinpi(0.5) == 1.0
    assert isinstance(sinpi(STEP), Expr)
    assert run(sinpi(STEP / 2)) == -1.0


@pytest.mark.parametrize("divisor", [0.0, -0.0])
def test_constants_fold_with_the_hardware_s_rules(divisor: float) -> None:
    assert (const(1.0) / divisor).constant == (float("inf") if str(divisor) == "0.0" else float("-inf"))


def test_neutral_operands_leave_no_code() -> None:
    assert STEP * 1.0 is STEP
    assert STEP - 0.0 is STEP
    assert STEP / 1.0 is STEP
    assert select(const(1.0), STEP, 2.0) is STEP
    # x + 0 and x - (-0) turn -0.0 into 0.0: they stay.
    assert (STEP + 0.0) is not STEP
    assert (STEP - (-0.0)) is not STEP


def test_mix_is_exact_at_both_ends() -> None:
    assert mix(0.1, 0.3, 1.0) == 0.1
    assert mix(0.1, 0.3, 0.0) == 0.3
    assert run(mix(const(0.1), const(0.3), select(STEP < 4, 1.0, 0.0))) == 0.1


def test_shared_parts_are_computed_once() -> None:
    shared = floor(STEP / 2)
    assembler = Assembler()
    code = assembler.add([shared * shared + shared])
    names = [OPCODES[operation].name for operation, _ in assembler.code]
    assert code.count == len(names)
    assert names.count("FLOOR") == 1
    assert run(shared * shared + shared, step=7) == 12.0


def test_equal_parts_built_twice_are_one() -> None:
    assembler = Assembler()
    assembler.add([floor(STEP / 2) * floor(STEP / 2)])
    assert len(assembler.code) == 7  # STEP CONSTANT DIV FLOOR STORE LOAD MUL


def test_symbols_are_filled_in_and_fold() -> None:
    formula = symbol("base") * 2.0 + symbol("prev")
    assert substitute(formula, {"base": const(3.0), "prev": const(1.0)}).constant == 7.0
    assert run(substitute(formula, {"base": STEP, "prev": const(1.0)})) == 7.0


def test_a_power_of_a_known_base_takes_its_logarithm_once() -> None:
    traced = power(0.5, STEP)
    assert traced.operation == "POWER_OF"
    assert run(traced, step=10) == 2.0**-10
