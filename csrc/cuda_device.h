// One CUDA device: copies, memory and the launches of steps. Whatever goes wrong is thrown, as one sentence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "launches.h"

namespace lrdsl {

class CudaDevice {
 public:
  explicit CudaDevice(int index);
  ~CudaDevice();
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  int64_t wanted_chunks = 0;
  Variant variant = Variant::ADVANCE;
  int64_t launches = 0;
  int64_t uploads = 0;

  bool capturing(uintptr_t stream) const;
  uintptr_t allocate(size_t size) const;
  void free(uintptr_t address) const;
  void upload(uintptr_t to, uintptr_t source, size_t size, uintptr_t stream);
  void download(uintptr_t to, uintptr_t source, size_t size, uintptr_t stream) const;
  void synchronize(uintptr_t stream) const;
  void preload() const;

  void step(int kind, int formats, const Tables& t, uintptr_t stream);
  void measure(const Tables& t, uintptr_t stream);
  void report(const Tables& t, int64_t metric, uintptr_t value, int32_t dtype, uintptr_t stream);
  void report_number(const Tables& t, int64_t metric, double value, uintptr_t stream);
  void publish(const Tables& t, bool advances, uintptr_t stream);
  void evaluate(uintptr_t program, uintptr_t slots, uintptr_t steps, int64_t count, uintptr_t out, uintptr_t stream);

 private:
  // Memory that the device copies from, until the event has come.
  struct Staging {
    void* memory;
    size_t size;
    void* event;
  };

  friend struct CudaStream;
  Staging& staging(size_t size);
  void refuse_in_capture(uintptr_t stream) const;

  int index_;
  int multiprocessors_ = 0;
  bool may_come_early_ = false;
  void* aside_ = nullptr;  // a stream for copies during a capture
  std::vector<Staging> stagings_;
};

}  // namespace lrdsl
