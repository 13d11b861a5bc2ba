// Elements in memory and in registers: bfloat16 and float16 are computed on as float32, their opmath, and rounded to
// nearest even when they are stored. Without branches, tables or instructions of one machine, so that loops become
// vector code everywhere and every machine gives the same bits.
#pragma once

#include <cstdint>
#include <cstring>

#include "portable.h"
#include "tables.h"

namespace lrdsl {

template <class T>
LRDSL_HD T* pointer(uint64_t address) {
  return reinterpret_cast<T*>(static_cast<uintptr_t>(address));
}

// Not structs: compilers make no vectors of those.
enum class Bfloat16 : uint16_t {};
enum class Float16 : uint16_t {};

template <class E>
struct OpmathOf {
  using type = float;
};
template <>
struct OpmathOf<double> {
  using type = double;
};
// What an element is computed in.
template <class E>
using Opmath = typename OpmathOf<E>::type;

LRDSL_HD float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

LRDSL_HD uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

// c ? a : b of bits, both computed. Of a floating-point operation behind `?:` compilers make a branch.
LRDSL_HD uint32_t select(bool c, uint32_t a, uint32_t b) {
  const uint32_t mask = 0u - static_cast<uint32_t>(c);
  return (a & mask) | (b & ~mask);
}

// ---- load: exact
// -----------------------------------------------------------------------------------------------------

LRDSL_HD float load(const float& at) { return at; }
LRDSL_HD double load(const double& at) { return at; }

LRDSL_HD float load(const Bfloat16& at) { return float_of(static_cast<uint32_t>(at) << 16); }

LRDSL_HD float load(const Float16& at) {
  const uint32_t half = static_cast<uint32_t>(at);
  const uint32_t size = half & 0x7fffu;
  const uint32_t rebiased = (size << 13) + (112u << 23);  // of exponents 2^-14 ... 2^15
  // 0.5 has 2^-24 as its last place, and so has a subnormal. Subtracting makes no subnormal float32.
  const uint32_t subnormal = bits_of(float_of(0x3f000000u | size) - 0.5f);
  const uint32_t bits = select(size < 0x0400u, subnormal, size < 0x7c00u ? rebiased : rebiased + (112u << 23));
  return float_of(bits | (half & 0x8000u) << 16);
}

// ---- store: rounded to nearest even, every NaN as the quiet one ----------------------------------------------------

LRDSL_HD void store(float& to, float value) { to = value; }
LRDSL_HD void store(double& to, double value) { to = value; }

LRDSL_HD void store(Bfloat16& to, float value) {
  const uint32_t bits = bits_of(value);
  const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  to = static_cast<Bfloat16>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);
}

LRDSL_HD void store(Float16& to, float value) {
  const uint32_t bits = bits_of(value);
  const uint32_t size = bits & 0x7fffffffu;
  // From 2^-14 on: rebias, round, and let the carry run into the exponent, up to infinity.
  const uint32_t normal = (size - (112u << 23) + 0x0fffu + (size >> 13 & 1u)) >> 13;
  const uint32_t subnormal = bits_of(float_of(size) + 0.5f) - 0x3f000000u;  // the addition rounds at 2^-24
  const uint32_t finite = select(size < 113u << 23, subnormal, normal);
  const uint32_t huge = size > 0x7f800000u ? 0x7e00u : 0x7c00u;
  to = static_cast<Float16>((size < 143u << 23 ? finite : huge) | (bits >> 16 & 0x8000u));
}

// ---- rows
// ------------------------------------------------------------------------------------------------------------

LRDSL_HD bool is_low(int32_t dtype) { return dtype == BFLOAT16 || dtype == FLOAT16; }

LRDSL_HD int64_t bytes_of(int32_t dtype) { return dtype == FLOAT64 ? 8 : is_low(dtype) ? 2 : 4; }

LRDSL_HD int32_t grad_dtype(const TensorRow& row) { return (row.flags & GRAD_FLOAT32) != 0 ? FLOAT32 : row.dtype; }

// One more update has been applied to the row, with this momentum.
LRDSL_HD void count(TensorRow& row, double momentum) {
  ++row.step;
  if (momentum != 0.0) row.flags |= STARTED;
  if (row.step_out == 0) return;
  if ((row.flags & STEP_FLOAT64) != 0) {
    *pointer<double>(row.step_out) = static_cast<double>(row.step);
  } else {
    *pointer<float>(row.step_out) = static_cast<float>(row.step);
  }
}

}  // namespace lrdsl
