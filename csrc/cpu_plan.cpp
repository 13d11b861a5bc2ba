// Before and after the kernel: checks, shares, the scalars of each row, the counting of steps.
#include <pthread.h>

#include <stdexcept>

#include "cpu_step.h"

namespace lrdsl {

namespace baseline {
void run(const StepPlan& plan);
}
#ifdef LRDSL_X86
namespace avx2 {
void run(const StepPlan& plan);
}
namespace avx512 {
void run(const StepPlan& plan);
}
#endif

const std::vector<Isa>& isas() {
  static const std::vector<Isa> all = {
#ifdef LRDSL_X86
      {"avx512", avx512::run,
       __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl")},
      {"avx2+fma", avx2::run, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")},
#endif
      {"baseline", baseline::run, true},
  };
  return all;
}

namespace {

// Below this the threads cost more than they save: 32 K elements of fp32.
constexpr int64_t SERIAL_BLOCKS = (int64_t{32} << 10) * 4 / BLOCK_BYTES;

// Steps are published all over memory, so each is called for a few rows early.
constexpr int64_t COUNTED_AHEAD = 8;

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

void check_gradient(const TensorRow& row, int64_t index) {
  if (row.dtype < FLOAT32 || row.dtype > FLOAT16) refuse(index, "no dtype " + std::to_string(row.dtype));
  if ((row.flags & GRAD_FLOAT32) != 0 && !is_low(row.dtype)) refuse(index, "a float32 gradient beside full precision");
  if (row.n < 0) refuse(index, "a negative number of elements");
}

void check(Rule rule, const TensorRow& row, int64_t index, const Hyper* hypers, int64_t n_groups) {
  check_gradient(row, index);
  if (row.group < 0 || row.group >= n_groups) refuse(index, "no group " + std::to_string(row.group));
  if (row.master != 0 && !is_low(row.dtype)) refuse(index, "a master beside full precision");
  if (row.step < 0) refuse(index, "a negative step");
  if (row.n == 0) return;
  const Hyper& hyper = hypers[row.group];
  if (row.p == 0) refuse(index, "no parameter");
  if (rule == Rule::SGD) {
    if (hyper.momentum != 0.0 && row.m == 0) refuse(index, "momentum without a buffer");
  } else {
    if (row.m == 0 || row.v == 0) refuse(index, "Adam without its two moments");
    if (rule == Rule::ADAM && (hyper.flags & AMSGRAD) != 0 && row.vmax == 0)
      refuse(index, "amsgrad without its maximum");
  }
}

void check(const Control& control) {
  if ((control.flags & CLIP) != 0 && !(control.max_norm >= 0.0))
    throw std::invalid_argument("control: expected max_norm >= 0, got " + std::to_string(control.max_norm));
}

int64_t blocks(const TensorRow& row) {
  const int shift = block_shift(row.dtype);
  return (row.n >> shift) + ((row.n & ((int64_t{1} << shift) - 1)) != 0);
}

// What every pass needs.
StepPlan plan_of(Pass pass, const TensorRow* rows, int64_t n_rows, const Control& control, int threads) {
  thread_local std::vector<int64_t> first_block;
  first_block.assign(1, 0);
  for (int64_t index = 0; index < n_rows; ++index)
    first_block.push_back(first_block.back() + (active_row(rows[index]) ? blocks(rows[index]) : 0));
  StepPlan plan{};
  plan.pass = pass;
  plan.rows = rows;
  plan.n_rows = n_rows;
  plan.first_block = first_block.data();
  plan.threads = first_block.back() < SERIAL_BLOCKS ? 1 : usable_threads(threads);
  plan.control = &control;
  return plan;
}

double norm(StepPlan plan) {
  thread_local std::vector<int64_t> first_chunk;
  thread_local std::vector<double> partials;
  first_chunk.assign(1, 0);
  for (int64_t index = 0; index < plan.n_rows; ++index)
    first_chunk.push_back(first_chunk.back() + (active_row(plan.rows[index]) ? norm_chunks(plan.rows[index]) : 0));
  partials.resize(static_cast<size_t>(first_chunk.back()));
  plan.pass = Pass::MEASURE;
  plan.first_chunk = first_chunk.data();
  plan.partials = partials.data();
  active()->kernel(plan);
  double lanes[LANES] = {};
  for (size_t chunk = 0; chunk < partials.size(); ++chunk) lanes[chunk % LANES] += partials[chunk];
  return norm_of(sum_of_lanes(lanes), *plan.control);
}

// The last power computed: neighbours often share step and beta, whatever their groups.
class LastPower {
 public:
  double operator()(double base, double exponent) {
    if (base != base_ || exponent != exponent_) {
      value_ = power(base, exponent);
      base_ = base;
      exponent_ = exponent;
    }
    return value_;
  }

 private:
  double base_ = 1.0, exponent_ = 0.0, value_ = 1.0;
};

// What rows of one group and step share.
void share_factors(const TensorRow* rows, int64_t n_rows, const Hyper* hypers, std::vector<AdamFactors>& factors,
                   std::vector<int64_t>& factors_of) {
  LastPower power1, power2;
  const TensorRow* last = nullptr;
  for (int64_t index = 0; index < n_rows; ++index) {
    const TensorRow& row = rows[index];
    if (active_row(row) && (last == nullptr || row.group != last->group || row.step != last->step)) {
      const Hyper& hyper = hypers[row.group];
      const double t = adam_time(row.step);
      factors.push_back(adam_factors(hyper, power1(hyper.beta1, t), power2(hyper.beta2, t)));
      last = &row;
    }
    factors_of.push_back(static_cast<int64_t>(factors.size()) - 1);
  }
}

}  // namespace

int usable_threads(int threads) { return forked ? 1 : threads; }

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

void check(Rule rule, const TensorRow* rows, int64_t n_rows, const Hyper* hypers, int64_t n_groups,
           const Control& control) {
  check(control);
  for (int64_t index = 0; index < n_rows; ++index) {
    if (active_row(rows[index])) check(rule, rows[index], index, hypers, n_groups);
  }
}

void check_gradients(const TensorRow* rows, int64_t n_rows) {
  for (int64_t index = 0; index < n_rows; ++index) {
    if (active_row(rows[index])) check_gradient(rows[index], index);
  }
}

bool step(Rule rule, TensorRow* rows, int64_t n_rows, const Hyper* hypers, int64_t n_groups, Control& control,
          int threads) {
  check(rule, rows, n_rows, hypers, n_groups, control);
  StepPlan plan = plan_of(Pass::UPDATE, rows, n_rows, control, threads);
  if ((control.flags & MEASURE) != 0) control.norm = norm(plan);
  if (skips(control)) {
    ++control.skipped;
    plan.pass = Pass::CLEAR;
    if ((control.flags & ZERO) != 0) active()->kernel(plan);
    return false;
  }

  thread_local std::vector<int64_t> factors_of;
  thread_local std::vector<AdamFactors> factors;
  factors_of.clear();
  factors.clear();
  if (rule == Rule::ADAM) share_factors(rows, n_rows, hypers, factors, factors_of);
  plan.rule = rule;
  plan.hypers = hypers;
  plan.factors = factors.data();
  plan.factors_of = factors_of.data();
  active()->kernel(plan);
  for (int64_t index = 0; index < n_rows; ++index) {
    if (index + COUNTED_AHEAD < n_rows) __builtin_prefetch(pointer<void>(rows[index + COUNTED_AHEAD].step_out), 1);
    if (active_row(rows[index])) count(rows[index], hypers[rows[index].group].momentum);
  }
  return true;
}

void measure(const TensorRow* rows, int64_t n_rows, Control& control, int threads) {
  check_gradients(rows, n_rows);
  control.norm = norm(plan_of(Pass::MEASURE, rows, n_rows, control, threads));
}

}  // namespace lrdsl
