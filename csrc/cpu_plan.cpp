// Before and after the kernel: checks, shares, the scalars of each row, the counting of steps.
#include <pthread.h>

#include <stdexcept>

#include "cpu_step.h"

namespace lrdsl {

namespace baseline {
void run(const Plan& plan);
}
#ifdef LRDSL_X86
namespace avx2 {
void run(const Plan& plan);
}
namespace avx512 {
void run(const Plan& plan);
}
#endif

const std::vector<Isa>& isas() {
  static const std::vector<Isa> all = {
#ifdef LRDSL_X86
      {"avx512", avx512::run,
       __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")},
      {"avx2+fma", avx2::run, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")},
#endif
      {"baseline", baseline::run, true},
  };
  return all;
}

namespace {

// Below this the threads cost more than they save: 32 K elements of fp32.
constexpr int64_t SERIAL_BLOCKS = (int64_t{32} << 10) * 4 / BLOCK_BYTES;

const Isa* best() {
  for (const Isa& isa : isas()) {
    if (isa.supported) return &isa;
  }
  throw std::logic_error("no instruction set fits this CPU");
}

const Isa*& active() {
  static const Isa* isa = best();
  return isa;
}

// A forked child has the parent's thread pool on paper only: its first parallel region would wait for ever.
bool forked = false;
[[maybe_unused]] const int watching = pthread_atfork(nullptr, nullptr, [] { forked = true; });

[[noreturn]] void refuse(int64_t index, const std::string& why) {
  throw std::invalid_argument("tensor row " + std::to_string(index) + ": " + why);
}

bool active_row(const TensorRow& row) { return row.g != 0; }

void check(Rule rule, const TensorRow& row, int64_t index, const Hyper* hypers, int64_t n_groups) {
  if (row.group < 0 || row.group >= n_groups) refuse(index, "no group " + std::to_string(row.group));
  if (row.dtype != FLOAT32 && row.dtype != FLOAT64) refuse(index, "no dtype " + std::to_string(row.dtype));
  if (row.n < 0) refuse(index, "a negative number of elements");
  if (row.step < 0) refuse(index, "a negative step");
  if (row.n == 0) return;
  const Hyper& hyper = hypers[row.group];
  if (row.p == 0) refuse(index, "no parameter");
  if (rule == Rule::SGD) {
    if (hyper.momentum != 0.0 && row.m == 0) refuse(index, "momentum without a buffer");
  } else {
    if (row.m == 0 || row.v == 0) refuse(index, "Adam without its two moments");
    if ((hyper.flags & AMSGRAD) != 0 && row.vmax == 0) refuse(index, "amsgrad without its maximum");
  }
}

int64_t blocks(const TensorRow& row) {
  const int64_t per_block = BLOCK_BYTES / (row.dtype == FLOAT64 ? 8 : 4);
  return row.n / per_block + (row.n % per_block != 0);
}

// The powers of a step are computed once for all rows that share group and step; usually neighbours do.
void share_factors(const TensorRow* rows, int64_t n_rows, const Hyper* hypers, std::vector<AdamFactors>& factors,
                   std::vector<int64_t>& factors_of) {
  const TensorRow* last = nullptr;
  for (int64_t index = 0; index < n_rows; ++index) {
    const TensorRow& row = rows[index];
    if (active_row(row) && (last == nullptr || row.group != last->group || row.step != last->step)) {
      factors.push_back(adam_factors(hypers[row.group], row.step));
      last = &row;
    }
    factors_of.push_back(static_cast<int64_t>(factors.size()) - 1);
  }
}

void count(TensorRow& row) {
  ++row.step;
  row.flags |= STARTED;
  if (row.step_out == 0) return;
  void* const out = reinterpret_cast<void*>(static_cast<uintptr_t>(row.step_out));
  if ((row.flags & STEP_FLOAT64) != 0) {
    *static_cast<double*>(out) = static_cast<double>(row.step);
  } else {
    *static_cast<float*>(out) = static_cast<float>(row.step);
  }
}

}  // namespace

const Isa& active_isa() { return *active(); }

void set_isa(const std::string& name) {
  for (const Isa& isa : isas()) {
    if (isa.name != name) continue;
    if (!isa.supported) throw std::invalid_argument("this CPU has no " + name);
    active() = &isa;
    return;
  }
  throw std::invalid_argument("no code for instruction set " + name);
}

void step(Rule rule, TensorRow* rows, int64_t n_rows, const Hyper* hypers, int64_t n_groups, int threads) {
  thread_local std::vector<int64_t> first_block, factors_of;
  thread_local std::vector<AdamFactors> factors;
  first_block.assign(1, 0);
  factors_of.clear();
  factors.clear();

  for (int64_t index = 0; index < n_rows; ++index) {
    const bool active = active_row(rows[index]);
    if (active) check(rule, rows[index], index, hypers, n_groups);
    first_block.push_back(first_block.back() + (active ? blocks(rows[index]) : 0));
  }
  if (rule == Rule::ADAM) share_factors(rows, n_rows, hypers, factors, factors_of);

  const bool serial = forked || first_block.back() < SERIAL_BLOCKS;
  const Plan plan{
      rule, rows, hypers, first_block.data(), factors.data(), factors_of.data(), n_rows, serial ? 1 : threads};
  active()->kernel(plan);
  for (int64_t index = 0; index < n_rows; ++index) {
    if (active_row(rows[index])) count(rows[index]);
  }
}

}  // namespace lrdsl
