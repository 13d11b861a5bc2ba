// Runs a verified Program: the value at a step, and what a report does to the state. Host and device.
#pragma once

#include "elementary.h"
#include "program.h"

namespace lrdsl {

// Leaves the results of `count` instructions at the bottom of `stack`.
LRDSL_HD void run(const Program& p, int64_t start, int64_t count, double step, const double* state, double report,
                  double* stack) {
  const int64_t* code = p.code_words() + start;
  const double* constants = p.constant_table();
  double kept[STACK];
  double* top = stack - 1;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t argument = argument_of(code[i]);
    switch (operation_of(code[i])) {
      case OP_CONSTANT:
        *++top = constants[argument];
        break;
      case OP_STEP:
        *++top = step;
        break;
      case OP_STATE:
        *++top = state[argument];
        break;
      case OP_REPORT:
        *++top = report;
        break;
      case OP_LOAD:
        *++top = kept[argument];
        break;
      case OP_STORE:
        kept[argument] = *top;
        break;
#define LRDSL_MOVE(name, arity)
#define LRDSL_OP(name, arity, expression)                \
  case OP_##name: {                                      \
    top -= arity - 1;                                    \
    [[maybe_unused]] const double a = top[0];            \
    [[maybe_unused]] const double b = top[arity > 1];    \
    [[maybe_unused]] const double c = top[arity > 2 ? 2 : 0]; \
    *top = expression;                                   \
    break;                                               \
  }
#include "opcodes.inc"
#undef LRDSL_MOVE
#undef LRDSL_OP
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
  double stack[STACK];
  const Segment& segment = segment_at(p, step);
  run(p, segment.start, segment.count, static_cast<double>(step), state, 0.0, stack);
  return stack[0];
}

// Takes a report made before update `step`: every machine that listens and whose scope holds the step.
LRDSL_HD void observe(const Program& p, int64_t metric, double report, int64_t step, double* state) {
  for (int64_t i = 0; i < p.machines; ++i) {
    const Machine& m = p.machine_table()[i];
    if (m.metric != metric || step < m.begin || step >= m.end) continue;
    double fresh[STACK];
    run(p, m.start, m.count, static_cast<double>(step), state, report, fresh);
    for (int64_t k = 0; k < m.slots; ++k) state[m.slot + k] = fresh[k];
  }
}

}  // namespace lrdsl
