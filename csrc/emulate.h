// The device's steps on the host, for tests.
#pragma once

#include <cstdint>
#include <vector>

#include "chunks.h"
#include "cpu_step.h"
#include "host_stream.h"

namespace lrdsl {

// What a device would hold for an optimizer: made once, and all that a step reads. `replay` is one step: the launches
// that a captured graph would hold.
class Emulation {
 public:
  // The tables are as `check` wants them. Chunks are as short as it takes to have `wanted` of them.
  Emulation(Rule rule, Variant variant, TensorRow* rows, int64_t n_rows, Hyper* hypers, int64_t n_groups,
            Control& control, int64_t wanted);
  Emulation(const Emulation&) = delete;
  Emulation& operator=(const Emulation&) = delete;

  // What the device's memory holds beside the tables that were given; the host may write here between steps.
  State state{};
  std::vector<Target> targets;
  std::vector<Listener> listeners;
  Mirror mirror{};

  // False if the step was skipped.
  bool replay(const Launch& launch);
  // Walk no chunks but the last ones, as if the others' elements were done.
  void keep_last(size_t count);
  // Only the norm.
  void measure(const Launch& launch);
  void report(int64_t metric, double value);

 private:
  template <class Rules>
  void run(const HostStream& stream, const Tables& t) const;
  Tables tables();

  Rule rule_;
  Variant variant_;
  TensorRow* rows_;
  int64_t n_rows_;
  Hyper* hypers_;
  int64_t n_groups_;
  Control& control_;
  std::vector<Gradient> gradients_;
  ChunkTable table_;
  std::vector<Bias> biases_;
  std::vector<double> partials_;
  std::vector<char> history_;
  Plan plan_{};
};

}  // namespace lrdsl
