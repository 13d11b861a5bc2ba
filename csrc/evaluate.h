// Runs a verified Program: the value at a step, and what a report does to the state. Host and device.
#pragma once

#include "elementary.h"
#include "program.h"

namespace lrdsl {

// Leaves the results of `count` instructions at the bottom of `stack`, for W steps at a time: one dispatch serves W
// lanes. A device thread, and a report, run with W = 1.
template <int W>
LRDSL_HD void run(const Program& p, int64_t start, int64_t count, const double* step, const double* state,
                  double report, double (*stack)[W]) {
  const int64_t* code = p.code_words() + start;
  const double* constants = p.constant_table();
  double kept[STACK][W];
  double (*top)[W] = stack - 1;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t argument = argument_of(code[i]);
    switch (operation_of(code[i])) {
#define LRDSL_LANES(value) \
  for (int lane = 0; lane < W; ++lane) value
      case OP_CONSTANT:
        ++top;
        LRDSL_LANES(top[0][lane] = constants[argument]);
        break;
      case OP_STEP:
        ++top;
        LRDSL_LANES(top[0][lane] = step[lane]);
        break;
      case OP_STATE:
        ++top;
        LRDSL_LANES(top[0][lane] = state[argument]);
        break;
      case OP_REPORT:
        ++top;
        LRDSL_LANES(top[0][lane] = report);
        break;
      case OP_LOAD:
        ++top;
        LRDSL_LANES(top[0][lane] = kept[argument][lane]);
        break;
      case OP_STORE:
        LRDSL_LANES(kept[argument][lane] = top[0][lane]);
        break;
#define LRDSL_MOVE(name, arity)
#define LRDSL_OP(name, arity, expression)                             \
  case OP_##name:                                                     \
    top -= arity - 1;                                                 \
    for (int lane = 0; lane < W; ++lane) {                            \
      [[maybe_unused]] const double a = top[0][lane];                 \
      [[maybe_unused]] const double b = top[arity > 1 ? 1 : 0][lane]; \
      [[maybe_unused]] const double c = top[arity > 2 ? 2 : 0][lane]; \
      top[0][lane] = expression;                                      \
    }                                                                 \
    break;
#include "opcodes.inc"
#undef LRDSL_MOVE
#undef LRDSL_OP
#undef LRDSL_LANES
      default:
        break;  // the verifier let no other number in
    }
  }
}

// The segment that holds `step`: the last one that begins at or before it.
LRDSL_HD const Segment& segment_at(const Program& p, int64_t step) {
  const Segment* table = p.segment_table();
  int64_t low = 0, high = p.segments;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (table[middle].begin <= step ? low : high) = middle;
  }
  return table[low];
}

// The value for update `step`.
LRDSL_HD double evaluate(const Program& p, int64_t step, const double* state) {
  double stack[STACK][1];
  const Segment& segment = segment_at(p, step);
  const double at = static_cast<double>(step);
  run<1>(p, segment.start, segment.count, &at, state, 0.0, stack);
  return stack[0][0];
}

// The values for many updates. Steps that follow each other in one segment run in lanes.
inline void evaluate_many(const Program& p, const int64_t* steps, int64_t count, const double* state, double* out) {
  constexpr int LANES = 8;
  for (int64_t i = 0; i < count;) {
    const Segment& segment = segment_at(p, steps[i]);
    const int64_t end = &segment - p.segment_table() + 1 < p.segments ? (&segment)[1].begin : INT64_MAX;
    double at[LANES] = {static_cast<double>(steps[i])};
    int together = 1;
    while (together < LANES && i + together < count && steps[i + together] >= segment.begin &&
           steps[i + together] < end) {
      at[together] = static_cast<double>(steps[i + together]);
      ++together;
    }
    if (together < LANES) {
      for (const int64_t stop = i + together; i < stop; ++i) out[i] = evaluate(p, steps[i], state);
      continue;
    }
    double stack[STACK][LANES];
    run<LANES>(p, segment.start, segment.count, at, state, 0.0, stack);
    for (int lane = 0; lane < LANES; ++lane) out[i + lane] = stack[0][lane];
    i += LANES;
  }
}

// Takes a report made before update `step`: every machine that listens and whose scope holds the step. Of an update
// that is skipped only those hear that want to.
LRDSL_HD void observe(const Program& p, int64_t metric, double report, int64_t step, bool skipped, double* state) {
  for (int64_t i = 0; i < p.machines; ++i) {
    const Machine& m = p.machine_table()[i];
    if (m.metric != metric || step < m.begin || step >= m.end || (skipped && m.skipped == 0)) continue;
    double fresh[STACK][1];
    const double at = static_cast<double>(step);
    run<1>(p, m.start, m.count, &at, state, report, fresh);
    for (int64_t k = 0; k < m.slots; ++k) state[m.slot + k] = fresh[k][0];
  }
}

}  // namespace lrdsl
