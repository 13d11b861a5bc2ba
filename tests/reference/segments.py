"""The table of section 4: the value of a segment of n steps at local time t, 0 <= t <= n."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

from .arguments import Arguments
from .formula import formula
from .lengths import arguments
from .numbers import InvalidTextError, Real, exp, mp, power, real, rounded, sin_squared
from .places import Place, missing_base

# Section 8: what may not start at 0 and stay there. Those of the first group run to `to`.
RUN_TO = {"linear", "cosine", "polynomial", "one_minus_sqrt", "tanh"}
TINY = 1e-300  # what doubles may have lost on the way to 0
FREEZE = RUN_TO | {"exponential", "step", "multistep", "inverse_sqrt", "inverse_time", "range_test"}


def segment(place: Place, t: Fraction, n: int | float) -> Real:
    a = arguments(place)
    return SEGMENTS[place.node.function](a, t, n)


def share(t: Fraction, n: int | float) -> tuple[Real, Real]:
    """t/n and (n-t)/n; a segment of no steps is at its end."""
    return (real(t) / n, real(n - t) / n) if n else (mp.one, mp.zero)


def ramp(start: Real, stop: Real, left: Real) -> Real:
    return stop + (start - stop) * left


def warmup(a: Arguments, t: Fraction, n: int | float) -> Real:
    start, stop, (u, left) = a.rate("from"), a.rate("to"), share(t, n)
    match a.word("shape"):
        case "linear":
            g = u
        case "cosine":
            g = sin_squared(u)
        case "log":
            g = mp.one if t == n else min(mp.one, mp.log(real(t + 1)) / mp.log(n)) if n != 1 else mp.zero
        case "one_minus_sqrt":
            g = 1 - mp.sqrt(left)
        case _:
            raise InvalidTextError("E0315")
    return start + (stop - start) * g


def constant(a: Arguments, t: Fraction, n: int | float) -> Real:
    return a.rate("value")


def hold(a: Arguments, t: Fraction, n: int | float) -> Real:
    return a.place.prev()


def linear(a: Arguments, t: Fraction, n: int | float) -> Real:
    return ramp(a.rate("from"), a.rate("to"), share(t, n)[1])


def cosine(a: Arguments, t: Fraction, n: int | float) -> Real:
    return ramp(a.rate("from"), a.rate("to"), sin_squared(share(t, n)[1]))


def polynomial(a: Arguments, t: Fraction, n: int | float) -> Real:
    p = a.number("power", above=0)
    return ramp(a.rate("from"), a.rate("to"), share(t, n)[1] ** p)


def one_minus_sqrt(a: Arguments, t: Fraction, n: int | float) -> Real:
    return ramp(a.rate("from"), a.rate("to"), 1 - mp.sqrt(share(t, n)[0]))


def geometric(a: Arguments, t: Fraction, n: int | float) -> Real:
    start, stop = a.rate("from"), a.rate("to")
    if start <= 0 or stop <= 0:
        raise InvalidTextError("E0605")
    return start * (stop / start) ** share(t, n)[0]


def tanh(a: Arguments, t: Fraction, n: int | float) -> Real:
    start, stop, (u, left) = a.rate("from"), a.rate("to"), share(t, n)
    lb, ub = a.number("lb"), a.number("ub")
    if lb >= ub:
        raise InvalidTextError("E0601")
    return ramp(start, stop, 1 / (1 + exp(2 * (lb * left + ub * u))))  # = (1 - tanh x)/2


def exponential(a: Arguments, t: Fraction, n: int | float) -> Real:
    return a.rate("from") * rounded(power(a.number("gamma", above=0), real(t) / a.timescale("every")))


def step(a: Arguments, t: Fraction, n: int | float) -> Real:
    return a.rate("from") * rounded(power(a.number("gamma", above=0), mp.mpf(t // a.period("every"))))


def multistep(a: Arguments, t: Fraction, n: int | float) -> Real:
    at = a.positions("at")
    if sorted(at) != at:
        raise InvalidTextError("E0602")
    if at[-1] >= n:
        raise InvalidTextError("E0604")
    k = sum(each <= t for each in at)
    if a.has("values"):
        values = a.rates("values")
        if len(values) != len(at) + 1:
            raise InvalidTextError("E0603")
        return values[k]
    return a.rate("from") * rounded(power(a.number("gamma", above=0), mp.mpf(k)))


def inverse_sqrt(a: Arguments, t: Fraction, n: int | float) -> Real:
    scale = a.timescale("timescale")
    return a.rate("from") * mp.sqrt(scale / (scale + real(t)))


def inverse_time(a: Arguments, t: Fraction, n: int | float) -> Real:
    return a.rate("from") / (1 + a.number("rate", 0) * real(t) / a.timescale("every"))


def noam(a: Arguments, t: Fraction, n: int | float) -> Real:
    width, up = a.number("d_model", above=0), a.timescale("warmup")
    if t == 0:
        return mp.zero
    return a.place.base() / mp.sqrt(width) * min(1 / mp.sqrt(real(t)), real(t) * up ** mp.mpf(-1.5))


def onecycle(a: Arguments, t: Fraction, n: int | float) -> Real:
    peak, up = a.rate("peak"), a.ratio("up") * n
    start = a.rate("start") if a.has("start") else peak / 25
    stop = a.rate("end") if a.has("end") else start / 10000
    if float(up) <= 1:
        raise InvalidTextError("E0601")
    shape = shapes(a, "linear", "cosine")
    top, x = up - 1, real(t)
    if x >= n - 1:
        return stop
    return ramp(start, peak, shape((top - x) / top)) if x <= top else ramp(peak, stop, shape((n - 1 - x) / (n - up)))


def shapes(a: Arguments, *allowed: str) -> Callable[[Real], Real]:
    shape = a.word("shape")
    if shape not in allowed:
        raise InvalidTextError("E0315")
    return sin_squared if shape == "cosine" else lambda left: left


def cyclic(a: Arguments, t: Fraction, n: int | float) -> Real:
    up = a.period("up")
    down = a.period("down") if a.has("down") else up
    c, x = t // (up + down), real(t % (up + down))
    w = x / up if x <= up else (up + down - x) / down
    gain = rounded(power(a.number("gain", 0), mp.mpf(c))) * rounded(power(a.number("gamma", above=0), real(t)))
    return a.rate("from") + (a.rate("to") - a.rate("from")) * w * gain


def points(a: Arguments, t: Fraction, n: int | float) -> Real:
    at, values = a.positions("at"), a.rates("values")
    if len(at) < 2:
        raise InvalidTextError("E0603")
    if len(at) != len(values):
        raise InvalidTextError("E0603")
    if any(b <= a for a, b in pairwise(at)):
        raise InvalidTextError("E0602")
    shape = a.word("shape")
    if shape == "geometric" and min(values) <= 0:
        raise InvalidTextError("E0605")
    if t <= at[0]:
        return values[0]
    i = next((i for i, each in enumerate(at) if t <= each), len(at) - 1)
    left = (at[i] - real(t)) / (at[i] - at[i - 1])
    if shape == "geometric":
        return values[i] * (values[i - 1] / values[i]) ** left
    return ramp(values[i - 1], values[i], shapes(a, "linear", "cosine")(left))


def range_test(a: Arguments, t: Fraction, n: int | float) -> Real:
    q = real(t) / a.timescale("every")
    return a.rate("from") * (1 + a.number("rate", 0) * (mp.floor(q) if a.flag("staircase") else q))


def expr(a: Arguments, t: Fraction, n: int | float) -> Real:
    return formula(a.nodes["formula"], a.place, t, n)


SEGMENTS: dict[str, Callable[[Arguments, Fraction, int | float], Real]] = {
    each.__name__: each
    for each in (
        warmup,
        constant,
        hold,
        linear,
        cosine,
        polynomial,
        one_minus_sqrt,
        geometric,
        tanh,
        exponential,
        step,
        multistep,
        inverse_sqrt,
        inverse_time,
        noam,
        onecycle,
        cyclic,
        points,
        range_test,
        expr,
    )
}


def starts_frozen(place: Place, n: int | float) -> bool:
    """E0608 (section 8): n > 0, a start of 0 and no other `to`; base 0 is fine."""
    function = place.node.function
    if function not in FREEZE or n == 0:
        return False
    a = arguments(place)
    if function == "multistep" and a.has("values"):
        return False
    if a.rate("from") > TINY or (place.base is not missing_base and place.base() == 0):
        return False
    return function not in RUN_TO or a.rate("to") == 0
