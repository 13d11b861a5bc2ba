// A Program as lrdsl/program/program.py packs it: 8-byte words, read in place on host or device.
#pragma once

#include <cstddef>
#include <cstdint>

#include "portable.h"

namespace lrdsl {

enum Operation : int {
#define LRDSL_MOVE(name, arity) OP_##name,
#define LRDSL_OP(name, arity, expression) OP_##name,
#include "opcodes.inc"
#undef LRDSL_MOVE
#undef LRDSL_OP
  OPERATIONS
};

constexpr int64_t MAGIC = 0x324C5344524C;
constexpr int64_t STACK = 64, CODE = 4096;

struct Segment {
  int64_t begin, start, count;
};

struct Machine {
  int64_t metric, begin, end, slot, slots;
  int64_t skipped;  // 1: hears of updates that are not made, too
  int64_t start, count;
};

struct Program {
  int64_t magic, segments, machines, code, constants, state, stack, locals;  // the header; the rest follows it

  LRDSL_HD const int64_t* words() const { return reinterpret_cast<const int64_t*>(this + 1); }
  LRDSL_HD const Segment* segment_table() const { return reinterpret_cast<const Segment*>(words()); }
  LRDSL_HD const Machine* machine_table() const { return reinterpret_cast<const Machine*>(segment_table() + segments); }
  LRDSL_HD const int64_t* code_words() const { return reinterpret_cast<const int64_t*>(machine_table() + machines); }
  LRDSL_HD const double* constant_table() const { return reinterpret_cast<const double*>(code_words() + code); }
  LRDSL_HD const double* first_state() const { return constant_table() + constants; }
};

LRDSL_HD int operation_of(int64_t word) { return static_cast<int>(word & 0xff); }
LRDSL_HD int64_t argument_of(int64_t word) { return word >> 8; }

inline int arity_of(int operation) {
  switch (operation) {
#define LRDSL_MOVE(name, arity) \
  case OP_##name:               \
    return arity;
#define LRDSL_OP(name, arity, expression) LRDSL_MOVE(name, arity)
#include "opcodes.inc"
#undef LRDSL_OP
#undef LRDSL_MOVE
    default:
      return -1;
  }
}

// What is wrong with one run of code; null if nothing is.
inline const char* fault_in(const Program& p, int64_t start, int64_t count, int64_t leaves, bool reports) {
  if (start < 0 || count < 1 || start > p.code || count > p.code - start) return "code outside the Program";
  int64_t depth = 0;
  uint64_t stored = 0;  // one bit per local
  for (int64_t i = start; i < start + count; ++i) {
    const int operation = operation_of(p.code_words()[i]);
    const int64_t argument = argument_of(p.code_words()[i]);
    const int arity = arity_of(operation);
    if (arity < 0) return "unknown opcode";
    const int64_t limit = operation == OP_CONSTANT                        ? p.constants
                          : operation == OP_STATE                         ? p.state
                          : operation == OP_STORE || operation == OP_LOAD ? p.locals
                                                                          : 1;
    if (argument < 0 || argument >= limit) return "an argument is out of range";
    if (operation == OP_LOAD && !(stored >> argument & 1)) return "a local is read before it is written";
    if (operation == OP_STORE) stored |= uint64_t{1} << argument;
    if (operation == OP_REPORT && !reports) return "REPORT outside an update";
    if (depth < arity) return "stack underflow";
    depth += 1 - arity;
    if (depth > p.stack) return "stack overflow";
  }
  return depth == leaves ? nullptr : "code leaves a wrong count of numbers";
}

// What is wrong with a packed Program of `bytes` bytes; null if every evaluator may run it blindly.
inline const char* fault_in(const Program& p, size_t bytes) {
  if (bytes < sizeof(Program) || bytes % 8 != 0 || p.magic != MAGIC) return "not a packed Program";
  const int64_t words = static_cast<int64_t>(bytes / 8);
  for (const int64_t count : {p.segments, p.machines, p.code, p.constants, p.state})
    if (count < 0 || count > words) return "a count is out of range";
  if (8 + 3 * p.segments + 8 * p.machines + p.code + p.constants + p.state != words) return "the counts do not add up";
  if (p.code > CODE || p.stack < 1 || p.stack > STACK || p.locals < 0 || p.locals > STACK) return "beyond the limits";
  if (p.segments < 1 || p.segment_table()[0].begin != 0) return "segments must begin at 0";
  for (int64_t i = 0; i < p.segments; ++i) {
    const Segment& segment = p.segment_table()[i];
    if (i > 0 && segment.begin <= p.segment_table()[i - 1].begin) return "segments must follow each other";
    if (const char* fault = fault_in(p, segment.start, segment.count, 1, false)) return fault;
  }
  int64_t slot = 0;
  for (int64_t i = 0; i < p.machines; ++i) {
    const Machine& m = p.machine_table()[i];
    if (m.metric < 0 || m.begin < 0 || m.begin > m.end) return "a machine's metric or scope is out of range";
    if (m.slot != slot || m.slots < 1 || m.slots > p.state - slot) return "machines must own the slots in turn";
    if (m.skipped != 0 && m.skipped != 1) return "a machine hears of skipped updates or not";
    slot += m.slots;
    if (const char* fault = fault_in(p, m.start, m.count, m.slots, true)) return fault;
  }
  return slot == p.state ? nullptr : "a state slot belongs to no machine";
}

}  // namespace lrdsl
