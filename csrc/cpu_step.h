// One optimizer step over many tensors on the CPU. cpu_plan.cpp checks the tables and shares the work out, once;
// cpu_step.cpp does it, in one copy per instruction set.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tables.h"
#include "update.h"

namespace lrdsl {

enum class Rule { SGD = 0, ADAM = 1 };

// Work is counted in blocks of 64 bytes of parameter: threads never share a cache line, and tensors of any dtype weigh
// what they cost.
constexpr int64_t BLOCK_BYTES = 64;

struct Plan {
  Rule rule;
  const TensorRow* rows;
  const Hyper* hypers;
  const int64_t* first_block;  // of each row in the count over all rows, and the total at the end
  const AdamFactors* factors;
  const int64_t* factors_of;  // row -> index into factors; null for SGD
  int64_t n_rows;
  int threads;
};

using Kernel = void (*)(const Plan&);

struct Isa {
  const char* name;
  Kernel kernel;
  bool supported;  // by this CPU
};

// Best first.
const std::vector<Isa>& isas();
const Isa& active_isa();
void set_isa(const std::string& name);

// Updates every row that has a gradient, then counts its step. Throws, naming the row, before anything is written.
void step(Rule rule, TensorRow* rows, int64_t n_rows, const Hyper* hypers, int64_t n_groups, int threads);

}  // namespace lrdsl
