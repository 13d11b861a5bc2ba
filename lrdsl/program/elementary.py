"""``sinpi cospi exp2 exp log2 log power`` from basic operations alone.

The C library's versions differ by machine in the last bit; these do not, because
they use only ``+ - * /``, comparisons, ``floor`` and exact scaling. ``csrc/elementary.h``
is their mirror, line by line. Logarithms and the exponent of a power are carried as
double-doubles (an unevaluated sum of two doubles, about 106 bits) after Dekker 1971,
so that ``gamma ** k`` stays within 1 ULP even for ``k`` in the millions.

Every function takes the number system ``m`` last: ``FLOATS`` or an ``Arrays()``.
"""

from typing import Any

from lrdsl.program.arithmetic import FLOATS, Arithmetic

INF = float("inf")
NAN = float("nan")
PI_HI, PI_LO = 3.141592653589793, 1.2246467991473532e-16
COS_HI, COS_LO = -4.934802200544679, -3.1326477543698557e-16  # -pi**2 / 2
LN2_HI, LN2_LO = 0.6931471805599453, 2.3190468138462996e-17
LOG2E_HI, LOG2E_LO = 1.4426950408889634, 2.0355273740931033e-17
TWO_LOG2E_HI, TWO_LOG2E_LO = 2.8853900817779268, 4.0710547481862066e-17
THIRD_HI, THIRD_LO = 0.3333333333333333, 1.850371707708594e-17
SQRT_HALF = 0.7071067811865476
SPLITTER = 134217729.0  # 2**27 + 1 cuts a 53-bit mantissa in two halves (Veltkamp 1968)

# Taylor coefficients, highest power first; what each series leaves out is below 2**-60.
SIN_TERMS = (
    -2.2948428997269873e-08, 7.952054001475513e-07, -2.1915353447830217e-05, 0.00046630280576761255,
    -0.0073704309457143504, 0.08214588661112823, -0.5992645293207921, 2.5501640398773455, -5.16771278004997,
)  # fmt: skip
COS_TERMS = (
    -1.3878952462213771e-07, 4.303069587032947e-06, -0.0001046381049248457, 0.0019295743094039231,
    -0.02580689139001406, 0.2353306303588932, -1.3352627688545895, 4.0587121264167685,
)  # fmt: skip
EXP_TERMS = (
    1.1470745597729725e-11, 1.6059043836821613e-10, 2.08767569878681e-09, 2.505210838544172e-08,
    2.755731922398589e-07, 2.7557319223985893e-06, 2.48015873015873e-05, 0.0001984126984126984,
    0.001388888888888889, 0.008333333333333333, 0.041666666666666664, 0.16666666666666666, 0.5,
)  # fmt: skip
ATANH_TERMS = (
    0.034482758620689655, 0.037037037037037035, 0.04, 0.043478260869565216, 0.047619047619047616,
    0.05263157894736842, 0.058823529411764705, 0.06666666666666667, 0.07692307692307693, 0.09090909090909091,
    0.1111111111111111, 0.14285714285714285, 0.2,
)  # fmt: skip


def horner(terms: tuple[float, ...], x: Any) -> Any:
    """The polynomial with these coefficients, highest power first."""
    total: Any = terms[0]
    for term in terms[1:]:
        total = total * x + term
    return total


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """``a + b`` rounded, and what the rounding lost (Knuth)."""
    high = a + b
    part = high - a
    return high, (a - (high - part)) + (b - part)


def two_product(a: Any, b: Any) -> tuple[Any, Any]:
    """``a * b`` rounded, and what the rounding lost (Dekker); without FMA, which not every machine has."""
    high = a * b
    scaled = SPLITTER * a
    a_high = scaled - (scaled - a)
    a_low = a - a_high
    scaled = SPLITTER * b
    b_high = scaled - (scaled - b)
    b_low = b - b_high
    return high, ((a_high * b_high - high) + a_high * b_low + a_low * b_high) + a_low * b_low


def multiply(a: Any, a_low: Any, b: Any, b_low: Any) -> tuple[Any, Any]:
    """Product of two double-doubles."""
    high, low = two_product(a, b)
    return two_sum(high, low + (a * b_low + a_low * b))


def divide(a: float, a_low: float, b: float) -> tuple[float, float]:
    """A double-double over a double; used when a Program is made, never while it runs."""
    quotient = a / b
    high, low = two_product(quotient, b)
    return two_sum(quotient, ((a - high) - low + a_low) / b)


def _quadrant(x: Any, m: Arithmetic) -> tuple[Any, Any, Any]:
    """Sine and cosine of ``pi * r`` for the ``r`` in [-1/4, 1/4] nearest to ``x`` by quarter turns, and their count."""
    n = m.select(m.absolute(x) < 2.0**51, m.floor(2.0 * x + 0.5), 2.0 * x)
    r = x - 0.5 * n
    square = r * r
    # What the first product and the first sum lose is added to the smaller terms: below 0.9 ULP, where it would be 1.5.
    sine, lost = two_product(r, PI_HI)
    sine = sine + (lost + (r * PI_LO + r * square * horner(SIN_TERMS, square)))
    bend = square * COS_HI
    cosine = 1.0 + bend
    lost = (1.0 - cosine) + bend
    cosine = cosine + (lost + (square * COS_LO + square * square * horner(COS_TERMS, square)))
    return sine, cosine, n - 4.0 * m.floor(0.25 * n)


def sinpi(x: Any, m: Arithmetic = FLOATS) -> Any:
    """``sin(pi * x)``, exact at multiples of 1/2."""
    sine, cosine, quarter = _quadrant(x, m)
    size = m.select((quarter == 1.0) | (quarter == 3.0), cosine, sine)
    return m.select(quarter >= 2.0, -size, size)


def cospi(x: Any, m: Arithmetic = FLOATS) -> Any:
    """``cos(pi * x)``, exact at multiples of 1/2."""
    sine, cosine, quarter = _quadrant(x, m)
    size = m.select((quarter == 1.0) | (quarter == 3.0), sine, cosine)
    return m.select((quarter == 1.0) | (quarter == 2.0), -size, size)


def exp2_of(high: Any, low: Any, m: Arithmetic = FLOATS) -> Any:
    """``2 ** (high + low)`` of a double-double, nearly correctly rounded."""
    # Beyond +-1100 the answer is inf or 0 whatever `low` says (and `low` may be nan there).
    low = m.select(m.absolute(high) < 1100.0, low, 0.0)
    high = m.select(high > 1100.0, 1100.0, m.select(high < -1100.0, -1100.0, high))
    n = m.floor(high + 0.5)
    f, f_low = two_sum(high - n, low)
    z, z_low = two_product(f, LN2_HI)
    z_low = z_low + (f * LN2_LO + f_low * LN2_HI)
    # 1 + (exp(z) - 1), the small part kept as a double-double so that only the last addition rounds.
    part, part_low = two_sum(z, z * z * horner(EXP_TERMS, z) + (z_low + z_low * z))
    result, error = two_sum(1.0, part)
    result = result + (error + part_low)
    # Two factors, so that a subnormal result is rounded once and 2**1024 is never formed.
    n = m.select(n == n, n, 0.0)
    half = m.floor(0.5 * n)
    return result * m.power_of_two(half) * m.power_of_two(n - half)


def exp2(x: Any, m: Arithmetic = FLOATS) -> Any:
    """``2 ** x``, exact for whole ``x``."""
    return exp2_of(x, 0.0 * x, m)


def exp(x: Any, m: Arithmetic = FLOATS) -> Any:
    """``e ** x``."""
    high, low = two_product(x, LOG2E_HI)
    return exp2_of(high, low + x * LOG2E_LO, m)


def log2_of(x: Any, m: Arithmetic = FLOATS) -> tuple[Any, Any]:
    """``log2(x)`` as a double-double; a 0 gives -inf, a negative number nan."""
    usual = (x > 0.0) & (x < INF)
    mantissa, exponent = m.split(m.select(usual, x, 1.0))
    small = mantissa < SQRT_HALF
    mantissa = m.select(small, 2.0 * mantissa, mantissa)
    exponent = m.select(small, exponent - 1.0, exponent)
    # log2(mantissa) = 2/ln2 * atanh(s), s = (mantissa - 1) / (mantissa + 1), |s| < 0.172
    above = mantissa - 1.0
    below, below_low = two_sum(mantissa, 1.0)
    s = above / below
    product, product_low = two_product(s, below)
    s_low = (((above - product) - product_low) - s * below_low) / below
    square, square_low = multiply(s, s_low, s, s_low)
    term, term_low = two_sum(THIRD_HI, square * horner(ATANH_TERMS, square))
    tail, tail_low = multiply(square, square_low, term, term_low + THIRD_LO)
    series, series_low = two_sum(1.0, tail)
    high, low = multiply(s, s_low, series, series_low + tail_low)
    high, low = multiply(high, low, TWO_LOG2E_HI, TWO_LOG2E_LO)
    total, error = two_sum(exponent, high)
    total, error = two_sum(total, error + low)
    edge = m.select(x == 0.0, -INF, m.select(x == INF, INF, NAN))
    return m.select(usual, total, edge), m.select(usual, error, 0.0)


def log2(x: Any, m: Arithmetic = FLOATS) -> Any:
    """Logarithm to base 2, exact at powers of 2."""
    high, _ = log2_of(x, m)
    return high


def log(x: Any, m: Arithmetic = FLOATS) -> Any:
    """Natural logarithm."""
    high, low = log2_of(x, m)
    product, product_low = two_product(high, LN2_HI)
    precise = product + (product_low + (high * LN2_LO + low * LN2_HI))
    return m.select(m.absolute(high) < INF, precise, high)


def power_of(y: Any, high: Any, low: Any, m: Arithmetic = FLOATS) -> Any:
    """``x ** y`` for the ``x`` whose logarithm to base 2 is ``high + low``."""
    product, error = two_product(y, high)
    return exp2_of(product, error + y * low, m)


def power(x: Any, y: Any, m: Arithmetic = FLOATS) -> Any:
    """``x ** y``; a negative ``x`` needs a whole ``y`` (else nan), and ``x ** 0`` is 1 for every ``x``."""
    high, low = log2_of(m.absolute(x), m)
    size = power_of(y, high, low, m)
    whole = m.floor(y) == y
    odd = whole & (m.floor(0.5 * y) * 2.0 != y)
    signed = m.select((x < 0.0) & odd, -size, size)
    signed = m.select((x < 0.0) & (whole == False), NAN, signed)  # noqa: E712 - elementwise on arrays
    return m.select((y == 0.0) | (x == 1.0), 1.0, signed)


def _round_of(t: Any, length: Any, factor: Any, m: Arithmetic) -> tuple[Any, Any]:
    # 53 rounds of a doubling length cover every step below 2**53; each sum is a whole number, so exact.
    index, start = 0.0 * t, 0.0 * t
    for _ in range(53):
        later = t >= start + length
        start = m.select(later, start + length, start)
        index = m.select(later, index + 1.0, index)
        length = m.select(later, length * factor, length)
    return index, start


def round_index(t: Any, length: Any, factor: Any, m: Arithmetic = FLOATS) -> Any:
    """Which round step ``t`` falls in, when round c lasts ``length * factor ** c`` steps, factor >= 2."""
    return _round_of(t, length, factor, m)[0]


def round_start(t: Any, length: Any, factor: Any, m: Arithmetic = FLOATS) -> Any:
    """The first step of that round."""
    return _round_of(t, length, factor, m)[1]
