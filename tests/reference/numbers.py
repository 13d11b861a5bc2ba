"""Real numbers of 50 digits that overflow where doubles do, and the functions of a formula (section 6)."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

from mpmath.ctx_mp import MPContext

mp = MPContext()
mp.dps = 50
Real = Any  # an mpf of this context
NAN, INF = mp.nan, mp.inf
LARGEST = mp.mpf(sys.float_info.max)

_noise: random.Random | None = None


class InvalidTextError(Exception):
    """The specification rejects this text; `code` says by which rule."""

    def __init__(self, code: str, why: str = "") -> None:
        super().__init__(f"{code} {why}")
        self.code = code


@contextmanager
def perturbed(seed: int) -> Iterator[None]:
    """Multiply every intermediate result by 1 + e, |e| <= 2**-50: shows what rounding may do to a value."""
    global _noise
    _noise = random.Random(seed)
    try:
        yield
    finally:
        _noise = None


class BeyondDoublesError(Exception):
    """The real number is one that doubles do not reach on the way: nothing is said about the value there."""


def rounded(x: Real) -> Real:
    """One result: overflow is inf (section 6); with `perturbed`, noise."""
    if mp.isfinite(x):
        if _noise is not None and x:
            x = x * (1 + mp.mpf(_noise.uniform(-1, 1)) * mp.mpf(2) ** -50)
        if abs(x) > LARGEST:
            x = mp.sign(x) * INF
    return x


def real(x: Fraction | float) -> Real:
    """Exactly x."""
    return mp.mpf(x.numerator) / x.denominator if isinstance(x, Fraction) else mp.mpf(x)


def double(x: Fraction) -> Real:
    """A number of the text, bound: the nearest double (section 3: exact rationals until bound)."""
    try:
        return mp.mpf(float(x))
    except OverflowError:
        raise InvalidTextError("E0105") from None


def half_up(x: Any) -> Any:
    """Section 3, rounding: of boundaries, positions and periods."""
    return x if x == math.inf else math.floor(x + Fraction(1, 2))


def sin_squared(u: Real) -> Real:
    """sin²(πu/2)."""
    return mp.sinpi(u / 2) ** 2


def divide(a: Real, b: Real) -> Real:
    if b == 0:
        return NAN if a == 0 or mp.isnan(a) else mp.sign(a) * INF
    return a / b


def power(a: Real, b: Real) -> Real:
    if mp.isnan(a) or mp.isnan(b) or mp.isinf(a) or mp.isinf(b):
        return mp.mpf(math.pow(float(a), float(b)))
    if b == 0 or a == 1:
        return mp.one
    if a == 0:
        return mp.zero if b > 0 else INF
    if a < 0 and b != mp.floor(b):
        return NAN
    digits = b * mp.log(abs(a))
    if abs(digits) < 2000:
        return a**b
    odd = a < 0 and mp.floor(b / 2) * 2 != b
    return (-1 if odd else 1) * exp(digits)


def exp(x: Real) -> Real:
    return mp.exp(x) if not abs(x) > 2000 else (INF if x > 0 else mp.zero)


def whole(function: Callable[[Real], Real]) -> Callable[[Real], Real]:
    return lambda x: function(x) if mp.isfinite(x) else x


def on_reals(function: Callable[[Real], Real], below: Real = -INF, there: Real = NAN) -> Callable[[Real], Real]:
    """`function` above `below`; at `below` it is `there`, under it nan."""

    def applied(x: Real) -> Real:
        if mp.isnan(x) or x < below:
            return NAN
        return there if x == below else function(x)

    return applied


def periodic(function: Callable[[Real], Real]) -> Callable[[Real], Real]:
    return lambda x: function(x) if mp.isfinite(x) else NAN


def least(*values: Real) -> Real:
    return NAN if any(map(mp.isnan, values)) else min(values)


def greatest(*values: Real) -> Real:
    return NAN if any(map(mp.isnan, values)) else max(values)


FUNCTIONS: dict[str, Callable[..., Real]] = {
    "abs": abs,
    "ceil": whole(mp.ceil),
    "clamp": lambda a, low, high: least(greatest(a, low), high),
    "cos": periodic(mp.cos),
    "cospi": periodic(mp.cospi),
    "exp": exp,
    "exp2": lambda x: power(mp.mpf(2), x),
    "floor": whole(mp.floor),
    "log": on_reals(mp.log, mp.zero, -INF),
    "log2": on_reals(lambda x: mp.log(x) / mp.log(2), mp.zero, -INF),
    "max": greatest,
    "min": least,
    "mod": lambda a, b: a - b * whole(mp.floor)(divide(a, b)),
    "pow": power,
    "sin": periodic(mp.sin),
    "sinpi": periodic(mp.sinpi),
    "sqrt": on_reals(mp.sqrt, mp.zero, mp.zero),
    "tanh": mp.tanh,
    "where": lambda c, a, b: a if c != 0 else b,
}
OPERATORS: dict[str, Callable[[Real, Real], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": divide,
    "**": power,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
