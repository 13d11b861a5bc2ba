// Which launches make a step, in the order in which a stream runs them.
#pragma once

#include <cstdint>

#include "chunk_update.h"
#include "device_tables.h"

namespace lrdsl {

enum class Variant {
  ADVANCE = 0,  // advance, which the norm's last block does if there is one; then the update
  TICKET = 1,   // the norm if there is one; then the rest in one launch
  EARLY = 2,    // as ADVANCE, but the update's blocks come while what is before them still runs, and wait inside
};

// Beside the formats of a step's rows: nothing but its schedules stands in the way of TICKET.
constexpr int PLAIN = 1 << 20;
// It is made for these, each alone: one for EVERYTHING takes as long to compile as all other kernels.
constexpr int TICKETED[] = {format_of(FLOAT32, false, false), format_of(BFLOAT16, true, false)};

inline bool takes_ticket(Variant variant, int formats) {
  const int made_for = formats & EVERYTHING;
  const bool possible = made_for == TICKETED[0] || made_for == TICKETED[1];
  return variant == Variant::TICKET && (formats & PLAIN) != 0 && possible;
}

// A Stream has one method for each kernel, templated on the rule.
template <class Rule, class Stream>
void launch_step(const Stream& stream, Variant variant, int formats, const Tables& t) {
  const bool measures = (t.control.flags & MEASURE) != 0;
  const int made_for = formats & EVERYTHING;
  if (takes_ticket(variant, formats)) {
    if (measures) stream.template norm<Rule>(t, false);
    stream.template update_at_once<Rule>(t, made_for);
    return;
  }
  if (measures) {
    stream.template norm<Rule>(t, true);
  } else {
    stream.template advance<Rule>(t);
  }
  stream.template update<Rule>(t, made_for, variant == Variant::EARLY);
}

}  // namespace lrdsl
