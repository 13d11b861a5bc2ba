// What the bodies of the device's kernels read and write beside the tables of tables.h. A launcher fills it; every
// address is one that the kernels can reach.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tables.h"
#include "update.h"

namespace lrdsl {

// A stretch of a row that one block works on: `length` elements of Tables, or what is left of the row. Only rows with a
// gradient and with elements have chunks.
struct Chunk {
  int64_t start;     // first element
  int32_t row;       //
  uint32_t partial;  // index of the chunk's first sum of squares; every NORM_CHUNK elements make one
};
static_assert(sizeof(Chunk) == 16, "one load");

// The gradient of a row, apart from it: a captured launch keeps its own while the rows are everybody's.
struct Gradient {
  uint64_t place;  // 0: none, and the row is left alone
  int32_t dtype;
  int32_t pad;
};
static_assert(sizeof(Gradient) == 16, "one load");

// What an update needs to know of a row's past, which the advance body is about to overwrite.
struct Bias {
  AdamFactors factors;
  bool started;
};

// The numbers of a Hyper, which lie before its flags.
constexpr int FIELDS = static_cast<int>(offsetof(Hyper, flags) / sizeof(double));

// One scheduled number of one group.
struct Target {
  uint64_t program;  // packed and verified
  uint64_t slots;    // its live state
  uint64_t out;      // one number in the device's memory, always the value of the next update; 0: none
  int64_t origin;    // where the clock stood at the Program's step 0
  int64_t fault;     // first update without a usable value, so that the last one applied was held; -1: none so far
  int32_t group;     //
  int32_t field;     // which number of the Hyper
  int32_t out_dtype;
  int32_t pad;
};

// A target that listens to a metric; its Program knows the metric by a number of its own.
struct Listener {
  int32_t target, metric, local, pad;
};

// A learning rate that no schedule governs, and that lives in the device's memory.
struct Rate {
  uint64_t place;
  int32_t dtype, group;
};

// The schedules. It lies in the device's memory, so that a captured launch follows one that came later.
struct Plan {
  Target* targets;
  const Listener* listeners;
  const Rate* rates;
  const double* slots;  // of all targets, one after the other
  double* slots_out;    // where the host can read them
  int64_t n_targets, n_listeners, n_rates, n_slots;
  int64_t grad_norm;  // the metric that every update reports itself; -1: nobody listens
};

// What lives from launch to launch.
struct State {
  int64_t clock;                 // applied updates
  int64_t skipped;               // steps
  int64_t steps;                 // both
  int64_t reflections;           // of this in a Mirror
  double norm;                   // of the gradients last measured
  uint32_t ticket, norm_ticket;  // blocks that are done; 0 between launches
};

// What the host reads without waiting. It is whole if begun == done, read in the opposite order.
struct Mirror {
  int64_t begun;
  int64_t clock, skipped, steps;
  double norm;
  int64_t faults;  // targets that have one
  int64_t done;
};

// The rates of the last HISTORY updates, for the host as well: entry clock % HISTORY is {int64 clock, double rates[]},
// a rate for each group. While an entry is written its clock is -1.
constexpr int64_t HISTORY = 256;

// The argument of every kernel: places and counts, but no number that a schedule may change.
struct Tables {
  TensorRow* rows;
  const Gradient* gradients;
  const Chunk* chunks;
  Hyper* hypers;  // as last applied
  Bias* biases;   // one per row; null if no later launch reads them
  double* partials;
  State* state;
  const Plan* plan;
  Mirror* mirror;  // null: none
  char* history;   // null: none
  int64_t n_rows, n_groups, n_chunks, n_partials;
  int64_t length;   // elements of a whole chunk, a multiple of NORM_CHUNK
  Control control;  // what is asked for, and where to find it; norm and skipped are the State's
};

}  // namespace lrdsl
