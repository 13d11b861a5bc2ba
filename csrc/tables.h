// The tables that Python fills: one row per tensor, one Hyper per group. Host and device read the same layout.
#pragma once

#include <cstdint>

namespace lrdsl {

enum Dtype : int32_t { FLOAT32 = 0, FLOAT64 = 1 };

enum RowFlag : int32_t {
  STARTED = 1,       // the momentum buffer holds something; set by the first update
  STEP_FLOAT64 = 2,  // *step_out is float64: float32 cannot count beyond 2^24
};

enum HyperFlag : int64_t { MAXIMIZE = 1, AMSGRAD = 2, NESTEROV = 4, DECOUPLED = 8 };

// Addresses are integers; 0 means that there is no such tensor. Elements are walked in memory order, so all tensors of
// a row have the same strides.
struct TensorRow {
  uint64_t p;
  uint64_t g;         // 0: no gradient this time, and the row is left alone
  uint64_t m;         // exp_avg, or momentum_buffer
  uint64_t v;         // exp_avg_sq
  uint64_t vmax;      // max_exp_avg_sq
  uint64_t master;    // fp32 copy of a parameter in low precision
  uint64_t step_out;  // where the new step is published as a float
  int64_t n;
  int64_t step;  // updates applied so far
  int32_t group;
  int32_t dtype;
  int32_t flags;
  int32_t pad;
};

struct Hyper {
  double lr;
  double weight_decay;
  double beta1;
  double beta2;
  double eps;
  double momentum;
  double dampening;
  int64_t flags;
};

}  // namespace lrdsl
