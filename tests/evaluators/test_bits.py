"""Every evaluator gives the bits of the reference: no tolerance, on any Program, at any step."""

from __future__ import annotations

import os
import struct
from array import array
from itertools import cycle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lrdsl
from lrdsl import evaluators
from lrdsl.evaluators.scalar import ScalarEvaluator
from lrdsl.program.program import Program
from tests.evaluators.programs import programs, report_steps, steps_of
from tests.language.corpus import ACCEPTED

PROGRAMS = int(os.environ.get("LRDSL_PROGRAMS", "2000"))
STEPS = 200
CONTEXT = {
    "base_lr": 1e-3,
    "total_steps": 10_000,
    "steps_per_epoch": 100,
    "tokens_per_step": 1e6,
    "samples_per_step": 256,
    "params": {"warm": 500, "peak_k": 0.5},
    "bases": {"weight_decay": 0.1, "momentum": 0.9, "beta1": 0.9},
}
REPORTS = (1.0, 0.5, float("nan"), 0.5, float("inf"), -0.0, 0.7, 0.1)


def bits(values: object) -> np.ndarray:
    """Bit patterns, every nan as one."""
    found = np.asarray(values, dtype=np.float64)
    return np.where(np.isnan(found), np.nan, found).view(np.uint64)


def native_missing() -> str:
    return "" if evaluators.native.extension() is not None else evaluators.native.reason()


BACKENDS = [
    "vector",
    pytest.param("native", marks=pytest.mark.skipif(bool(native_missing()), reason=f"not run: {native_missing()}")),
]


def assert_same(program: Program, backend: str, steps: array[int]) -> None:
    """Half of the steps are evaluated before the reports, the other half after."""
    reference = ScalarEvaluator(program)
    other = evaluators.evaluator(program, backend)
    state, copy = array("d", program.state), array("d", program.state)

    def compare(steps: array[int]) -> None:
        expected, got = bits(reference.values(steps, state)), bits(other.values(steps, copy))
        assert (expected == got).all(), (program.listing(), np.asarray(steps)[expected != got])
        assert (bits([other.value(step, copy) for step in steps[:5]]) == expected[:5]).all()

    compare(steps[0::2])
    for report, step in zip(REPORTS, cycle(report_steps(program))):
        for metric in program.metrics:
            reference.observe(metric, report, step, state)
            other.observe(metric, report, step, copy)
            assert (bits(state) == bits(copy)).all(), program.listing()
    compare(steps[1::2])


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=PROGRAMS, derandomize=PROGRAMS == 2000, suppress_health_check=list(HealthCheck))
@given(program=programs(), seed=st.integers(0, 2**32))
def test_random_programs(program: Program, seed: int, backend: str) -> None:
    steps = steps_of(program, STEPS, seed)
    assert len(set(steps)) == STEPS
    assert_same(program, backend, steps)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("text", ACCEPTED)
def test_every_accepted_text(text: str, backend: str) -> None:
    schedule = lrdsl.compile(text, **CONTEXT)
    for track in schedule.tracks.values():
        assert_same(track.program, backend, steps_of(track.program, STEPS, seed=1))


@pytest.mark.parametrize("backend", BACKENDS)
def test_zero_keeps_its_sign(backend: str) -> None:
    program = lrdsl.compile("expr(-0.0 * (1 + t))", base_lr=1.0).program()
    value = evaluators.evaluator(program, backend).values(array("q", [3]), array("d", program.state))[0]
    assert struct.pack("<d", value) == struct.pack("<d", -0.0)


def test_lrs_equals_lr_bit_for_bit() -> None:
    schedule = lrdsl.compile("warmup(50) >> cosine(1000, min=1e-6) | plateau(patience=1)", base_lr=3e-4)
    for loss in (1.0, 1.0, 1.0, 1.0):
        schedule.observe(loss)
    steps = list(range(0, 1100, 7))
    assert (bits(schedule.lrs(steps)) == bits([schedule.lr(step) for step in steps])).all()
