// A device that is none: its memory is the host's, and its launches run on the host. With it everything that drives a
// device runs, and is tested, where there is none.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "host_stream.h"

namespace lrdsl {

class HostDevice {
 public:
  static constexpr int64_t wanted_chunks = 64;

  Variant variant = Variant::ADVANCE;
  int64_t launches = 0;
  int64_t uploads = 0;
  int64_t lag = 0;  // how much of what was given may be still to do; where a device runs behind, so may this one

  bool capturing(uintptr_t) const { return capturing_; }
  uintptr_t allocate(size_t size);
  void free(uintptr_t address);
  void upload(uintptr_t to, uintptr_t source, size_t size, uintptr_t stream);
  void download(uintptr_t to, uintptr_t source, size_t size, uintptr_t stream);
  void synchronize(uintptr_t stream);
  void preload() const {}

  void step(int kind, int formats, const Tables& t, uintptr_t stream);
  void measure(const Tables& t, uintptr_t stream);
  void report(const Tables& t, int64_t metric, uintptr_t value, int32_t dtype, uintptr_t stream);
  void report_number(const Tables& t, int64_t metric, double value, uintptr_t stream);
  void publish(const Tables& t, bool advances, uintptr_t stream);

  void evaluate(uintptr_t program, uintptr_t slots, uintptr_t steps, int64_t count, uintptr_t out, uintptr_t stream);

  // What is launched in between is kept instead, and runs whenever the graph is replayed.
  void begin_capture();
  size_t end_capture();
  void replay(size_t graph);

 private:
  // Runs soon, or is kept. The grid is another one at every launch.
  void launch(int64_t kernels, const std::function<void(const HostStream&)>& call);
  void give(std::function<void()> work);
  void catch_up(int64_t lag);

  bool capturing_ = false;
  std::deque<std::function<void()>> to_do_;
  uint64_t turn_ = 0;
  std::vector<std::vector<std::function<void()>>> graphs_;
};

}  // namespace lrdsl
