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
  int64_t origin;    // where the clock stood at the Program's step 0
  int64_t fault;     // first update without a usable value, so that the last one applied was held; -1: none so far
  int32_t group;     //
  int32_t field;     // which number of the Hyper
};

// The latest report of one metric; it is new if its sequence number is not the one taken last.
struct Mailbox {
  double value;
  int64_t sequence;
  int64_t taken;
};

// A target that listens to a mailbox; its Program knows the metric by a number of its own.
struct Listener {
  int64_t target, mailbox, metric;
};

// What lives from launch to launch.
struct State {
  int64_t clock;                 // applied updates
  uint32_t ticket, norm_ticket;  // blocks that are done; 0 between launches
};

// The argument of every kernel: places and counts, but no number that a schedule may change.
struct Tables {
  TensorRow* rows;
  Hyper* hypers;  // as last applied
  Control* control;
  State* state;
  Bias* biases;  // one per row; null if no later launch reads them
  const Chunk* chunks;
  double* partials;
  Target* targets;
  Mailbox* mailboxes;
  const Listener* listeners;
  int64_t n_rows, n_chunks, n_partials, n_targets, n_mailboxes, n_listeners;
  int64_t length;  // elements of a whole chunk, a multiple of NORM_CHUNK
};

}  // namespace lrdsl
