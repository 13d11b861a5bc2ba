// The norm of all gradients, defined down to the order of its additions: the same bits from any number of threads or
// blocks, any instruction set, and the device.
//
// A row is cut into chunks. Element i of a chunk is squared and added to lane i mod LANES, in the order of i; halving
// the lanes gives the chunk's partial sum. All this in opmath, on gradients as they are in memory. The partial sums, in
// the order of rows and chunks, go through lanes of float64 in the same way.
#pragma once

#include <cmath>

#include "element.h"
#include "portable.h"
#include "tables.h"

namespace lrdsl {

constexpr int64_t NORM_CHUNK = 4096;
constexpr int LANES = 256;

LRDSL_HD int64_t norm_chunks(const TensorRow& row) { return row.n / NORM_CHUNK + (row.n % NORM_CHUNK != 0); }

// Many lanes are many accumulators: one would wait for its own last addition.
template <class T>
LRDSL_HD void tally(T& lane, T g) {
  lane = lane + g * g;
}

// One halving of the lanes; what a device does with a barrier after each.
template <class T>
LRDSL_HD T halved(const T* lanes, int i, int width) {
  return lanes[i] + lanes[i + width];
}

template <class T>
LRDSL_HD T sum_of_lanes(T* lanes) {
  for (int width = LANES / 2; width >= 1; width /= 2) {
#ifdef _OPENMP
#pragma omp simd
#endif
    for (int i = 0; i < width; ++i) lanes[i] = halved(lanes, i, width);
  }
  return lanes[0];
}

LRDSL_HD double norm_of(double sum_of_squares, const Control& control) {
  const double norm = ::sqrt(sum_of_squares);
  return control.grad_scale == 0 ? norm : norm / static_cast<double>(*pointer<const float>(control.grad_scale));
}

}  // namespace lrdsl
