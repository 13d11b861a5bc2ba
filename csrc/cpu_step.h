// One optimizer step over many tensors on the CPU. cpu_plan.cpp checks the tables and shares the work out, once;
// cpu_step.cpp does it, in one copy per instruction set.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "element.h"
#include "norm.h"
#include "portable.h"
#include "tables.h"
#include "update.h"

namespace lrdsl {

// What one walk over the tables does.
enum class Pass { UPDATE, MEASURE, CLEAR };

// Work is counted in blocks of 64 bytes of parameter: threads never share a cache line, and tensors of any dtype weigh
// what they cost.
constexpr int64_t BLOCK_BYTES = 64;

// A block has 2 to this power elements. To divide by a variable would cost a small tensor as much as its update.
LRDSL_HD int block_shift(int32_t dtype) { return dtype == FLOAT64 ? 3 : is_low(dtype) ? 5 : 4; }

struct StepPlan {
  Pass pass;
  const TensorRow* rows;
  int64_t n_rows;
  const int64_t* first_block;  // of each row in the count over all rows, and the total at the end
  int threads;
  const Control* control;
  // to update
  Rule rule;
  const Hyper* hypers;
  const AdamFactors* factors;
  const int64_t* factors_of;  // row -> index into factors; for Adam only
  // to measure
  const int64_t* first_chunk;  // of each row
  double* partials;            // of each chunk
};

using Kernel = void (*)(const StepPlan&);

struct Isa {
  const char* name;
  Kernel kernel;
  bool supported;  // by this CPU
};

// Best first.
const std::vector<Isa>& isas();
const Isa& active_isa();
void set_isa(const std::string& name);

// How many of `threads` may be used: one in a forked child, where the pool of the parent does not exist.
int usable_threads(int threads);

// Throw, naming the row, if a step or a norm of these tables cannot be.
void check(Rule rule, const TensorRow* rows, int64_t n_rows, const Hyper* hypers, int64_t n_groups,
           const Control& control);
void check_gradients(const TensorRow* rows, int64_t n_rows);

// Updates every row that has a gradient, then counts its step; false if the step was skipped. Throws, naming the row,
// before anything is written.
bool step(Rule rule, TensorRow* rows, int64_t n_rows, const Hyper* hypers, int64_t n_groups, Control& control,
          int threads);

// Only measures: control.norm.
void measure(const TensorRow* rows, int64_t n_rows, Control& control, int threads);

}  // namespace lrdsl
