"""The device's evaluator gives the bits of the reference, and what it publishes is rounded once.

``LRDSL_PROGRAMS=100000`` tries more Programs, other ones each time.
"""

from __future__ import annotations

import os
from array import array
from itertools import cycle
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

import lrdsl  # noqa: E402
from lrdsl.evaluators.scalar import ScalarEvaluator  # noqa: E402
from lrdsl.program.program import Program  # noqa: E402
from tests.evaluators.programs import programs, report_steps, steps_of  # noqa: E402
from tests.evaluators.test_bits import CONTEXT, REPORTS, bits  # noqa: E402
from tests.language.corpus import ACCEPTED  # noqa: E402

ASKED = int(os.environ.get("LRDSL_PROGRAMS", "0"))
WITHOUT_PATIENCE = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


class Evaluator:
    """One Program in the memory of a device."""

    def __init__(self, device: Any, handle: Any, program: Program) -> None:
        self._device, self._handle = device, handle
        self._code = torch.frombuffer(bytearray(program.pack()), dtype=torch.uint8).to(device.place)

    def values(self, steps: array[int], slots: array[float]) -> Any:
        """At all of these steps."""
        asked = torch.tensor(steps, dtype=torch.int64, device=self._device.place)
        state = torch.tensor([*slots, 0.0], dtype=torch.float64, device=self._device.place)
        out = torch.full((len(steps),), -7.0, dtype=torch.float64, device=self._device.place)
        self._device.synchronize()
        self._handle.evaluate(self._code.data_ptr(), state.data_ptr(), asked.data_ptr(), len(steps), out.data_ptr(), 0)
        self._device.synchronize()
        return out.cpu().numpy()


def handle_of(device: Any) -> Any:
    optimizer = lrdsl.SGD(device.parameters([torch.zeros(1)]), backend=device.backend)
    return device.handle(optimizer)


def assert_same(device: Any, handle: Any, program: Program, steps: array[int]) -> None:
    """Half of the steps are evaluated before some reports, the other half after."""
    reference, there = ScalarEvaluator(program), Evaluator(device, handle, program)
    slots = array("d", program.state)
    for half in (steps[0::2], steps[1::2]):
        expected, got = bits(reference.values(half, slots)), bits(there.values(half, slots))
        assert (expected == got).all(), (program.listing(), np.asarray(half)[expected != got])
        for report, step in zip(REPORTS, cycle(report_steps(program))):
            for metric in program.metrics:
                reference.observe(metric, report, step, slots)


def test_random_programs(device: Any) -> None:
    handle = handle_of(device)
    count, steps = ASKED or device.amount(10_000, 60), device.amount(1000, 200)
    tried = 0

    @settings(max_examples=count, derandomize=not ASKED, **WITHOUT_PATIENCE)
    @given(program=programs(), seed=st.integers(0, 2**32))
    def compare(program: Program, seed: int) -> None:
        nonlocal tried
        assert_same(device, handle, program, steps_of(program, steps, seed))
        tried += 1

    compare()
    assert tried >= count


def test_every_accepted_text(device: Any) -> None:
    handle, tried = handle_of(device), 0
    for text in ACCEPTED[:: device.amount(1, 8)]:
        try:
            schedule = lrdsl.compile(text, **CONTEXT)
        except lrdsl.ScheduleError:
            continue  # the evaluators' own tests say which may
        for track in schedule.tracks.values():
            assert_same(device, handle, track.program, steps_of(track.program, 200, seed=1))
            tried += 1
    assert tried > 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_a_published_rate_is_rounded_as_torch_does(device: Any, dtype: torch.dtype) -> None:
    """To a half by way of float32."""
    text = "warmup(7) >> cosine(900, min=1e-6)"
    rate = torch.tensor(0.1, dtype=torch.float64).to(dtype).to(device.place)
    optimizer = lrdsl.SGD(device.parameters([torch.zeros(1)]), lr=rate, schedule=text, backend=device.backend)
    schedule, shown = optimizer.schedules[0], optimizer.param_groups[0]["lr"]
    for step in range(0, 950, device.amount(1, 19)):
        optimizer.set_clock(step)
        exact = torch.tensor(schedule.lr(step), dtype=torch.float64)
        expected = exact.float().to(dtype) if dtype in (torch.bfloat16, torch.float16) else exact.to(dtype)
        assert shown.dtype == dtype
        assert float(shown) == float(expected), step


def test_the_step_uses_the_double(device: Any) -> None:
    """A float64 parameter moves by the rate itself, not by what is shown of it."""
    text = "warmup(7) >> cosine(40, min=1e-6)"
    p = device.parameters([torch.zeros(1, dtype=torch.float64)])
    optimizer = lrdsl.SGD(p, lr=torch.tensor(0.1, device=device.place), schedule=text, backend=device.backend)
    schedule = optimizer.schedules[0]
    p[0].grad = torch.ones_like(p[0])
    for step in range(45):
        with torch.no_grad():
            p[0].zero_()
        optimizer.step()
        assert p[0].item() == -schedule.lr(step)
