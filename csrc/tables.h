// The tables that Python fills: one row per tensor, one Hyper per group, one Control per optimizer. Host and device
// read the same layout.
#pragma once

#include <cstdint>

namespace lrdsl {

enum class Rule { SGD = 0, ADAM = 1, LIMIT = 2 };

enum Dtype : int32_t { FLOAT32 = 0, FLOAT64 = 1, BFLOAT16 = 2, FLOAT16 = 3 };

enum RowFlag : int32_t {
  STARTED = 1,       // the momentum buffer holds something; set by the first update with momentum
  STEP_FLOAT64 = 2,  // *step_out is float64: float32 cannot count beyond 2^24
  GRAD_FLOAT32 = 4,  // the gradient of a parameter in low precision is float32
};

// What a training loop wants done beside the update.
enum ControlFlag : int64_t {
  MEASURE = 1,         // compute the norm of all gradients
  CLIP = 2,            // scale the gradients down to max_norm
  SKIP_NONFINITE = 4,  // do not update if the norm is not finite
  ZERO = 8,            // leave zeros in the gradients, also if the step is skipped
};

enum HyperFlag : int64_t { MAXIMIZE = 1, AMSGRAD = 2, NESTEROV = 4, DECOUPLED = 8 };

// Addresses are integers; 0 means that there is no such tensor. Elements are walked in memory order, so all tensors of
// a row have the same strides. State is float64 beside float64, else float32; the gradient has the parameter's dtype
// unless GRAD_FLOAT32 is set. Where there is a master the parameter is written from it and never read.
struct TensorRow {
  uint64_t p;
  uint64_t g;         // 0: no gradient this time, and the row is left alone
  uint64_t m;         // exp_avg, or momentum_buffer
  uint64_t v;         // exp_avg_sq
  uint64_t vmax;      // max_exp_avg_sq
  uint64_t master;    // float32 original of a parameter in low precision
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

struct Control {
  double max_norm;
  double norm;          // of the gradients last measured, unscaled and unclipped
  uint64_t grad_scale;  // one float32 that every gradient is divided by; 0: none
  uint64_t found_inf;   // one float32; the step is skipped unless it is 0; 0: none
  int64_t flags;
  int64_t skipped;  // steps, so far
};

}  // namespace lrdsl
