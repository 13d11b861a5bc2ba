"""The observation machines of section 5. Reports and decisions are doubles, as written there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .arguments import Arguments
from .numbers import InvalidTextError, Real, greatest, least, mp, power, real, rounded

Reports = list[tuple[float, int]]


def observed(a: Arguments, v: Real, step: Real, scope: tuple[Any, Any]) -> Real:
    """v as the machine changes it, after every report in its scope, as seen at `step`."""
    metric = a.word("metric")
    reports = [(y, s) for name, y, s in a.place.run.reports if name == metric and scope[0] <= s < scope[1]]
    return MACHINES[a.call.function](a, reports, v, step)


def better(a: Arguments, y: float, best: float | None) -> bool:
    mode, threshold, by = a.word("mode"), float(a.number("threshold", 0)), a.word("threshold_mode")
    if mode not in ("min", "max") or by not in ("rel", "abs"):
        raise InvalidTextError("E0315")
    if not math.isfinite(y):
        return False
    if best is None:
        return True
    margin = threshold * abs(best) if by == "rel" else threshold
    return y < best - margin if mode == "min" else y > best + margin


def plateau(a: Arguments, reports: Reports, v: Real, step: Real) -> Real:
    patience, cooldown, every, floor = a.count("patience"), a.count("cooldown"), a.period("every"), a.rate("min")
    best, bad, cool, k = None, 0, 0, 0
    better(a, 0.0, None)  # the words are checked even before the first report
    for i in range(0, len(reports) - every + 1, every):
        total = 0.0
        for y, _ in reports[i : i + every]:
            total += y
        y = total / every
        if better(a, y, best):
            best, bad = y, 0
        else:
            bad += 1
        if cool > 0:
            cool, bad = cool - 1, 0
        if bad > patience:
            k, cool, bad = k + 1, cooldown, 0
    return least(v, greatest(v * rounded(power(a.ratio("factor"), mp.mpf(k))), floor))


def guard(a: Arguments, reports: Reports, v: Real, step: Real) -> Real:
    window, factor, floor, nonfinite = a.count("window", 1), a.ratio("factor"), a.rate("min"), a.flag("nonfinite")
    spike = float(a.number("spike", above=1)) if a.has("spike") else math.inf
    recover = a.duration("recover", whole=False)
    if recover == 0:
        raise InvalidTextError("E0601")
    ema, count, s, at = 0.0, 0, mp.one, None

    def healed(step: Real) -> Real:
        if at is None or recover == math.inf:
            return mp.zero
        gone = max(mp.zero, step - at)
        return min(mp.one, gone / real(recover))

    for y, when in reports:
        event = (not math.isfinite(y) and nonfinite) or (count > 0 and y > ema + (spike - 1) * abs(ema))
        if event:
            s, at = rounded(s ** (1 - healed(mp.mpf(when))) * factor), when
        elif math.isfinite(y):
            count += 1
            ema = ema + (y - ema) / min(count, window) if count > 1 else y
    return least(v, greatest(v * s ** (1 - healed(step)), floor))


def normscale(a: Arguments, reports: Reports, v: Real, step: Real) -> Real:
    target, ratio = a.number("target", above=0), mp.one
    for y, _ in reports:
        if math.isfinite(y):
            ratio = min(mp.one, target / mp.mpf(y)) if y > 0 else mp.one
    return v * ratio


def greedy(a: Arguments, reports: Reports, v: Real, step: Real) -> Real:
    patience, cooldown, warmup, smooth = (a.count(name) for name in ("patience", "cooldown", "warmup", "smooth"))
    if not 1 <= smooth <= 64:
        raise InvalidTextError("E0601")
    factor, low, high, base = a.ratio("factor"), a.rate("min"), a.rate("max"), a.place.base()
    best, bad, good, cool, warm, k = None, 0, 0, 0, 0, 0
    recent: list[float] = []
    better(a, 0.0, None)
    for report, _ in reports:
        y = report
        if math.isfinite(report):
            recent = [*recent, report][-smooth:]
            y = math.fsum(recent) / len(recent)
        if cool > 0 or warm > 0:
            cool, warm, bad, good = max(cool - 1, 0), max(warm - 1, 0), 0, 0
            continue
        if better(a, y, best):
            best, bad, good = y, 0, good + 1
        else:
            bad, good = bad + 1, 0
        scaled = float(base) * float(power(factor, mp.mpf(k)))
        if good > patience:
            k, warm, good = (k - 1 if scaled < float(high) else k), warmup, 0
        elif bad > patience:
            k, cool, bad = (k + 1 if scaled > float(low) else k), cooldown, 0
    return least(greatest(v * power(factor, mp.mpf(k)), least(v, low)), greatest(v, high))


MACHINES: dict[str, Callable[[Arguments, Reports, Real, Real], Real]] = {
    "plateau": plateau,
    "guard": guard,
    "normscale": normscale,
    "greedy": greedy,
}
