// sinpi, cospi, exp2, exp, log2, log, power from basic operations alone: the mirror, line by line, of
// lrdsl/program/elementary.py, where the reasons are. Needs -ffp-contract=off (nvcc: --fmad=false).
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "portable.h"

namespace lrdsl {

constexpr double PI_HI = 3.141592653589793, PI_LO = 1.2246467991473532e-16;
constexpr double COS_HI = -4.934802200544679, COS_LO = -3.1326477543698557e-16;  // -pi**2 / 2
constexpr double LN2_HI = 0.6931471805599453, LN2_LO = 2.3190468138462996e-17;
constexpr double LOG2E_HI = 1.4426950408889634, LOG2E_LO = 2.0355273740931033e-17;
constexpr double TWO_LOG2E_HI = 2.8853900817779268, TWO_LOG2E_LO = 4.0710547481862066e-17;
constexpr double THIRD_HI = 0.3333333333333333, THIRD_LO = 1.850371707708594e-17;
constexpr double SQRT_HALF = 0.7071067811865476;
constexpr double SPLITTER = 134217729.0;
constexpr double TWO_52 = 4503599627370496.0, TWO_51 = 2251799813685248.0;
#define INFINITE (HUGE_VAL)

// ---- bits of a double ----

LRDSL_HD double from_bits(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

LRDSL_HD uint64_t to_bits(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

LRDSL_HD double not_a_number() { return from_bits(0x7ff8000000000000ull); }
LRDSL_HD double absolute(double a) { return fabs(a); }
LRDSL_HD double square_root(double a) { return sqrt(a); }
LRDSL_HD double round_down(double a) { return floor(a); }
LRDSL_HD double round_up(double a) { return ceil(a); }

// 2**k for a whole k in the normal range.
LRDSL_HD double power_of_two(double k) {
  return from_bits(static_cast<uint64_t>(static_cast<int64_t>(k) + 1023) << 52);
}

// Mantissa in [0.5, 1) and exponent of a positive finite number.
LRDSL_HD double split(double a, double* exponent) {
  double shift = 0.0;
  if (a < 2.2250738585072014e-308) {  // subnormal: bring it into the normal range first
    a *= 18014398509481984.0;         // 2**54
    shift = -54.0;
  }
  const uint64_t bits = to_bits(a);
  *exponent = static_cast<double>(static_cast<int64_t>(bits >> 52) - 1022) + shift;
  return from_bits((bits & 0x000fffffffffffffull) | 0x3fe0000000000000ull);
}

// ---- double-double ----

struct Double2 {
  double high, low;
};

LRDSL_HD Double2 two_sum(double a, double b) {
  const double high = a + b;
  const double part = high - a;
  return {high, (a - (high - part)) + (b - part)};
}

LRDSL_HD Double2 two_product(double a, double b) {
  const double high = a * b;
  double scaled = SPLITTER * a;
  const double a_high = scaled - (scaled - a);
  const double a_low = a - a_high;
  scaled = SPLITTER * b;
  const double b_high = scaled - (scaled - b);
  const double b_low = b - b_high;
  return {high, ((a_high * b_high - high) + a_high * b_low + a_low * b_high) + a_low * b_low};
}

LRDSL_HD Double2 multiply(Double2 a, Double2 b) {
  const Double2 product = two_product(a.high, b.high);
  return two_sum(product.high, product.low + (a.high * b.low + a.low * b.high));
}

// ---- polynomials, highest power first ----

LRDSL_HD double sin_terms(double x) {
  double total = -2.2948428997269873e-08;
  total = total * x + 7.952054001475513e-07;
  total = total * x + -2.1915353447830217e-05;
  total = total * x + 0.00046630280576761255;
  total = total * x + -0.0073704309457143504;
  total = total * x + 0.08214588661112823;
  total = total * x + -0.5992645293207921;
  total = total * x + 2.5501640398773455;
  return total * x + -5.16771278004997;
}

LRDSL_HD double cos_terms(double x) {
  double total = -1.3878952462213771e-07;
  total = total * x + 4.303069587032947e-06;
  total = total * x + -0.0001046381049248457;
  total = total * x + 0.0019295743094039231;
  total = total * x + -0.02580689139001406;
  total = total * x + 0.2353306303588932;
  total = total * x + -1.3352627688545895;
  return total * x + 4.0587121264167685;
}

LRDSL_HD double exp_terms(double x) {
  double total = 1.1470745597729725e-11;
  total = total * x + 1.6059043836821613e-10;
  total = total * x + 2.08767569878681e-09;
  total = total * x + 2.505210838544172e-08;
  total = total * x + 2.755731922398589e-07;
  total = total * x + 2.7557319223985893e-06;
  total = total * x + 2.48015873015873e-05;
  total = total * x + 0.0001984126984126984;
  total = total * x + 0.001388888888888889;
  total = total * x + 0.008333333333333333;
  total = total * x + 0.041666666666666664;
  total = total * x + 0.16666666666666666;
  return total * x + 0.5;
}

LRDSL_HD double atanh_terms(double x) {
  double total = 0.034482758620689655;
  total = total * x + 0.037037037037037035;
  total = total * x + 0.04;
  total = total * x + 0.043478260869565216;
  total = total * x + 0.047619047619047616;
  total = total * x + 0.05263157894736842;
  total = total * x + 0.058823529411764705;
  total = total * x + 0.06666666666666667;
  total = total * x + 0.07692307692307693;
  total = total * x + 0.09090909090909091;
  total = total * x + 0.1111111111111111;
  total = total * x + 0.14285714285714285;
  return total * x + 0.2;
}

// ---- trigonometry ----

struct Quadrant {
  double sine, cosine, quarter;
};

LRDSL_HD Quadrant quadrant(double x) {
  const double n = absolute(x) < TWO_51 ? round_down(2.0 * x + 0.5) : 2.0 * x;
  const double r = x - 0.5 * n;
  const double square = r * r;
  // What the first product and the first sum lose is added to the smaller terms: below 0.9 ULP, where it would be 1.5.
  const Double2 turn = two_product(r, PI_HI);
  const double sine = turn.high + (turn.low + (r * PI_LO + r * square * sin_terms(square)));
  const double bend = square * COS_HI;
  const double near = 1.0 + bend;
  const double lost = (1.0 - near) + bend;
  const double cosine = near + (lost + (square * COS_LO + square * square * cos_terms(square)));
  return {sine, cosine, n - 4.0 * round_down(0.25 * n)};
}

LRDSL_HD double sinpi(double x) {
  const Quadrant q = quadrant(x);
  const double size = q.quarter == 1.0 || q.quarter == 3.0 ? q.cosine : q.sine;
  return q.quarter >= 2.0 ? -size : size;
}

LRDSL_HD double cospi(double x) {
  const Quadrant q = quadrant(x);
  const double size = q.quarter == 1.0 || q.quarter == 3.0 ? q.sine : q.cosine;
  return q.quarter == 1.0 || q.quarter == 2.0 ? -size : size;
}

// ---- exponentials and logarithms ----

LRDSL_HD double exp2_of(double high, double low) {
  low = absolute(high) < 1100.0 ? low : 0.0;
  high = high > 1100.0 ? 1100.0 : high < -1100.0 ? -1100.0 : high;
  double n = round_down(high + 0.5);
  const Double2 f = two_sum(high - n, low);
  Double2 z = two_product(f.high, LN2_HI);
  z.low = z.low + (f.high * LN2_LO + f.low * LN2_HI);
  const Double2 part = two_sum(z.high, z.high * z.high * exp_terms(z.high) + (z.low + z.low * z.high));
  const Double2 sum = two_sum(1.0, part.high);
  const double result = sum.high + (sum.low + part.low);
  n = n == n ? n : 0.0;
  const double half = round_down(0.5 * n);
  return result * power_of_two(half) * power_of_two(n - half);
}

LRDSL_HD double exp2(double x) { return exp2_of(x, 0.0 * x); }

LRDSL_HD double exp(double x) {
  const Double2 product = two_product(x, LOG2E_HI);
  return exp2_of(product.high, product.low + x * LOG2E_LO);
}

LRDSL_HD Double2 log2_of(double x) {
  const bool usual = x > 0.0 && x < INFINITE;
  double exponent;
  double mantissa = split(usual ? x : 1.0, &exponent);
  if (mantissa < SQRT_HALF) {
    mantissa = 2.0 * mantissa;
    exponent = exponent - 1.0;
  }
  const double above = mantissa - 1.0;
  const Double2 below = two_sum(mantissa, 1.0);
  Double2 s;
  s.high = above / below.high;
  const Double2 product = two_product(s.high, below.high);
  s.low = (((above - product.high) - product.low) - s.high * below.low) / below.high;
  const Double2 square = multiply(s, s);
  Double2 term = two_sum(THIRD_HI, square.high * atanh_terms(square.high));
  term.low = term.low + THIRD_LO;
  const Double2 tail = multiply(square, term);
  Double2 series = two_sum(1.0, tail.high);
  series.low = series.low + tail.low;
  const Double2 logarithm = multiply(multiply(s, series), {TWO_LOG2E_HI, TWO_LOG2E_LO});
  Double2 total = two_sum(exponent, logarithm.high);
  total = two_sum(total.high, total.low + logarithm.low);
  if (usual) return total;
  return {x == 0.0 ? -INFINITE : x == INFINITE ? INFINITE : not_a_number(), 0.0};
}

LRDSL_HD double log2(double x) { return log2_of(x).high; }

LRDSL_HD double log(double x) {
  const Double2 logarithm = log2_of(x);
  const Double2 product = two_product(logarithm.high, LN2_HI);
  const double precise = product.high + (product.low + (logarithm.high * LN2_LO + logarithm.low * LN2_HI));
  return absolute(logarithm.high) < INFINITE ? precise : logarithm.high;
}

LRDSL_HD double power_of(double y, double high, double low) {
  const Double2 product = two_product(y, high);
  return exp2_of(product.high, product.low + y * low);
}

LRDSL_HD double power(double x, double y) {
  const Double2 logarithm = log2_of(absolute(x));
  const double size = power_of(y, logarithm.high, logarithm.low);
  const bool whole = round_down(y) == y;
  const bool odd = whole && round_down(0.5 * y) * 2.0 != y;
  double result = x < 0.0 && odd ? -size : size;
  result = x < 0.0 && !whole ? not_a_number() : result;
  return y == 0.0 || x == 1.0 ? 1.0 : result;
}

// ---- rounds of growing length ----

struct Round {
  double index, start;
};

LRDSL_HD Round round_of(double t, double length, double factor) {
  Round round = {0.0 * t, 0.0 * t};
  for (int i = 0; i < 53; ++i) {
    const bool later = t >= round.start + length;
    round.start = later ? round.start + length : round.start;
    round.index = later ? round.index + 1.0 : round.index;
    length = later ? length * factor : length;
  }
  return round;
}

LRDSL_HD double round_index(double t, double length, double factor) { return round_of(t, length, factor).index; }
LRDSL_HD double round_start(double t, double length, double factor) { return round_of(t, length, factor).start; }

}  // namespace lrdsl
