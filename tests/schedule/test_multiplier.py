"""`lambda_fn`: multiples of base, without torch."""

from __future__ import annotations

import copy
import math
import pickle
import subprocess
import sys
from typing import Any

import pytest

import lrdsl
from lrdsl.multiplier import Multiplier

TEXT = "warmup(40) >> cosine(rest, min=1e-6)"


def test_multiples() -> None:
    f = lrdsl.lambda_fn("warmup(4) >> linear(rest, to=0.5)", base_lr=2.0, total_steps=8)
    assert [f(step) for step in range(10)] == [0, 0.25, 0.5, 0.75, 1, 0.8125, 0.625, 0.4375, 0.25, 0.25]
    assert lrdsl.lambda_fn(0.5, base_lr=2.0)(3) == 0.25


@pytest.mark.parametrize("base", [1.0, 2.0**-11, 3e-4, 1e-3, 0.1, 7.3])
def test_base_times_the_multiple_is_the_rate(base: float) -> None:
    """Exactly for powers of two, else within the last bit."""
    f = lrdsl.lambda_fn(TEXT, base_lr=base, total_steps=1000)
    curve = lrdsl.compile(TEXT, base_lr=base, total_steps=1000).lrs(range(1001)).tolist()
    off = [abs(base * f(step) - rate) / math.ulp(rate) for step, rate in enumerate(curve)]
    assert max(off) <= (0.0 if math.frexp(base)[0] == 0.5 else 1.0)


@pytest.mark.parametrize("through", [copy.copy, copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))])
def test_copies(through: Any) -> None:
    f = lrdsl.lambda_fn("warmup(w) >> cosine(rest)", base_lr=0.3, total_steps=30, params={"w": 5})
    other = through(f)
    assert other is not f and type(other) is Multiplier
    assert [other(step) for step in range(31)] == [f(step) for step in range(31)]
    assert repr(other) == repr(f) == "lambda_fn('warmup(w) >> cosine(rest)')"


@pytest.mark.parametrize(
    ("text", "base", "message"),
    [
        (
            "hold() | plateau()",
            1.0,
            "the text listens to loss, and a function of the step hears nothing: use lrdsl.LRScheduler",
        ),
        (
            "hold() | guard(metric=grad_norm)",
            1.0,
            "the text listens to grad_norm, and a function of the step hears nothing: use lrdsl.LRScheduler",
        ),
        (
            "lr = hold(); weight_decay = linear(9, from=0.1)",
            1.0,
            "the text governs lr and weight_decay, and a multiplier is for lr alone: use lrdsl.LRScheduler",
        ),
        (
            "lr = hold(); lr[head] = linear(9, from=0.1)",
            1.0,
            "the text governs lr and lr[head], and a multiplier is for lr alone: use lrdsl.LRScheduler",
        ),
        ("constant(1e-3)", 0.0, "base_lr is 0, of which every multiple is 0: give the optimizer another lr"),
    ],
)
def test_what_a_multiplier_cannot_do(text: str, base: float, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        lrdsl.lambda_fn(text, base_lr=base)
    assert str(caught.value) == message


def test_mistakes_in_the_text() -> None:
    with pytest.raises(lrdsl.ScheduleError, match="E0204"):
        lrdsl.lambda_fn("cosin(9)", base_lr=1.0)
    with pytest.raises(lrdsl.ScheduleError, match="E0401"):
        lrdsl.lambda_fn("cosine(rest)", base_lr=1.0)
    with pytest.raises(lrdsl.ScheduleError, match="E0801"):
        lrdsl.lambda_fn("cosine(9)", base_lr=1.0)(-1)


def test_needs_no_torch() -> None:
    script = (
        "import sys; sys.modules['torch'] = None; import lrdsl; print(lrdsl.lambda_fn('linear(4)', base_lr=1.0)(1))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.stdout == "0.75\n", run.stderr
