"""lrdsl against the reference: one random text, its steps and its reports."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Sequence

import lrdsl

from .numbers import BeyondDoublesError, InvalidTextError, Real, perturbed
from .schedule import Key, Schedule
from .texts import Sample

RELATIVE = 1e-12
SMALLEST = 1e-300  # below, products of subnormal numbers have few digits
# Where rounding alone may move a value further than RELATIVE (a - b near 0, a floor or a comparison at its edge), the
# reference is run again with every intermediate result off by up to 2**-50, and that spread is allowed.
TRIALS, ROOM = 8, 8
SAMPLED = {"E0609", "E0610", "E0611"}  # rejected for a value at a step
LIMITS = {"E0902", "E0907"}  # of lrdsl, not of the meaning


def agree(sample: Sample, count: Counter[str], *, seed: int = 0) -> str | None:
    """None, or what they disagree about. `count` learns what was looked at."""
    theirs = ours = None
    code = expected = ""
    try:
        theirs = lrdsl.compile(sample.text, **sample.context)
    except lrdsl.ScheduleError as error:
        code, message = error.code, error.message
    try:
        ours = Schedule(sample.text, **sample.context)
    except InvalidTextError as error:
        expected = error.code
    if code in LIMITS:
        count["too large"] += 1
        return None
    if theirs is None or ours is None:
        count["rejected"] += 1
        if code and expected:
            count["same code" if code == expected else "other code"] += 1
            return None
        if code in SAMPLED and ours is not None:
            try:
                return sampled(sample, ours, code, message)
            except BeyondDoublesError:
                return None
        return f"rejected by lrdsl with {code or 'nothing'}, by the reference with {expected or 'nothing'}"
    count["valid"] += 1
    return same_values(sample, theirs, ours, count, seed)


def same_values(
    sample: Sample, theirs: lrdsl.Schedule, ours: Schedule, count: Counter[str], seed: int = 0
) -> str | None:
    rng = random.Random(seed)
    if why := missed(sample, ours, rng):
        return why
    heard = [report for report in sample.reports if report[0] in theirs.metrics]
    for reports in [(), heard] if heard else [()]:
        for metric, value, step in reports:
            theirs.observe(value, metric, step=step)
            count["reports"] += 1
        for key in sample.keys:
            if key == ("lr", None) and theirs.length != ours.length():
                return f"length {theirs.length}, expected {ours.length()}"
            for step in steps(ours, key, rng):
                try:
                    expected = ours.value(key[0], step, key[1], reports)
                except BeyondDoublesError:
                    continue
                got = theirs.value(key[0], step, key[1])
                count["values"] += 1
                if close(got, expected):
                    continue
                if not explained(got, expected, ours, key, step, reports):
                    return f"{key} at {step} after {len(reports)} reports: {got!r}, expected {float(expected)!r}"
                count["ill-conditioned"] += 1
    return None


def missed(sample: Sample, ours: Schedule, rng: random.Random) -> str | None:
    """A value that the static check (section 8) samples and must reject; some of its 65 evenly spaced ones."""
    for key in sample.keys:
        total, boundaries = sample.context["total_steps"], ours.boundaries(*key)
        length = ours.length(*key)
        last = length if length < math.inf else max(total, max(boundaries, default=0) + 1000)
        looked_at = {step for each in boundaries for step in (each, each - 1) if step >= 0}
        for step in looked_at | {i * last // 64 for i in rng.sample(range(65), 8)}:
            try:
                value = as_double(ours.value(key[0], step, key[1]))
            except BeyondDoublesError:
                continue
            below_one = key[0] not in ("beta1", "beta2") or value < 1
            fine = math.isfinite(value) and value >= 0 and below_one
            if not fine and not explained(0.0, value, ours, key, step, ()):
                return f"accepted, but {key} is {value} at {step}"
    return None


def steps(ours: Schedule, key: Key, rng: random.Random) -> list[int]:
    """Every boundary and its neighbours, random steps, a row of them, beyond the end, far beyond it."""
    boundaries = [step for step in ours.boundaries(*key) if step < 2**50]
    last = max([100, *boundaries])
    found = {boundary + d for boundary in boundaries for d in (-1, 0, 1)} | {last + 1000, 10**9}
    found |= {rng.randint(0, last + 50) for _ in range(8)} | {rng.randint(0, 10**power) for power in (5, 9)}
    row = rng.randint(0, last)
    found |= set(range(row, row + 12))  # what has a short period
    return sorted(step for step in found if step >= 0)


def close(got: float, expected: Real) -> bool:
    expected = as_double(expected)
    if not math.isfinite(expected):
        return not math.isfinite(got)
    return abs(got - expected) <= RELATIVE * abs(expected) + SMALLEST


def as_double(x: Real) -> float:
    return float(x) if not abs(x) > 1.79e308 else math.copysign(math.inf, x)


def explained(got: float, expected: Real, ours: Schedule, key: Key, step: int, reports: Sequence) -> bool:
    """Rounding alone may have done it."""
    spread = 0.0
    for trial in range(TRIALS):
        with perturbed(trial):
            other = ours.value(key[0], step, key[1], reports, fresh=True)
        if not math.isfinite(as_double(other)):
            return not math.isfinite(as_double(expected)) or not math.isfinite(got)
        spread = max(spread, float(abs(other - expected)))
    ours.roots.clear()
    return abs(got - float(expected)) <= ROOM * spread


def sampled(sample: Sample, ours: Schedule, code: str, message: str) -> str | None:
    """lrdsl found a value at a step to be negative, not finite or too large: so must we."""
    name, step = re.match(r"`(.*?)`.* at step (\d+)", message).groups()
    target, group = next(key for key in sample.keys if name in (key[0], f"{key[0]}[{key[1]}]"))
    value = as_double(ours.value(target, int(step), group))
    bad = {"E0609": value < 0, "E0610": not math.isfinite(value), "E0611": value >= 1}[code]
    return (
        None if bad or explained(-1e-300, value, ours, (target, group), int(step), ()) else f"{code}, but it is {value}"
    )
