// The device's steps on the host, for tests.
#pragma once

#include <cstdint>
#include <vector>

#include "chunks.h"
#include "cpu_step.h"
#include "host_grid.h"

namespace lrdsl {

enum class Variant {
  ADVANCE = 0,  // advance, which the norm's last block does if there is one; then the update
  TICKET = 1,   // the norm if there is one, reports if anything listens; then the rest in one launch
};

// What a device would hold for an optimizer: made once, and all that a step reads. `replay` is one step: the launches
// that a captured graph would hold.
class Emulation {
 public:
  // The tables are as `check` wants them. Chunks are as short as it takes to have `wanted` of them.
  Emulation(Rule rule, Variant variant, TensorRow* rows, int64_t n_rows, Hyper* hypers, Control& control,
            int64_t wanted);
  Emulation(const Emulation&) = delete;
  Emulation& operator=(const Emulation&) = delete;

  // What the device's memory holds beside the tables that were given; the host may write here between steps.
  State state{};
  std::vector<Target> targets;
  std::vector<Mailbox> mailboxes;
  std::vector<Listener> listeners;

  // False if the step was skipped.
  bool replay(const Launch& launch);
  // Walk no chunks but the last ones, as if the others' elements were done.
  void keep_last(size_t count);
  // Only the norm.
  void measure(const Launch& launch);

 private:
  template <class Rules>
  void run(const Tables& tables, const Launch& launch) const;
  Tables tables();

  Rule rule_;
  Variant variant_;
  TensorRow* rows_;
  int64_t n_rows_;
  Hyper* hypers_;
  Control& control_;
  int64_t length_;
  ChunkTable table_;
  std::vector<Bias> biases_;
  std::vector<double> partials_;
};

}  // namespace lrdsl
