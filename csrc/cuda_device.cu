#include <cuda_runtime.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "cuda_device.h"
#include "cuda_kernels.h"

namespace lrdsl {
namespace {

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // it must not surprise whoever asks next
  throw std::runtime_error(std::string("CUDA: ") + what + ": " + cudaGetErrorString(status) + " (" +
                           cudaGetErrorName(status) + ")");
}

cudaStream_t stream_of(uintptr_t stream) { return reinterpret_cast<cudaStream_t>(stream); }

// Whether this process uses a device already. To make one current is to use it, and takes hundreds of MB there.
bool in_use(int device) {
  using Ask = int (*)(int, unsigned*, int*);
  static const auto ask = [] {
    void* const driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
    return driver == nullptr ? nullptr : reinterpret_cast<Ask>(dlsym(driver, "cuDevicePrimaryCtxGetState"));
  }();
  unsigned flags = 0;
  int active = 0;
  return ask == nullptr || ask(device, &flags, &active) != 0 || active != 0;
}

// Makes a device current, and leaves the one that was.
class Current {
 public:
  explicit Current(int index) : index_(index) {
    check(cudaGetDevice(&before_), "asking for the current device");
    if (before_ != index_) check(cudaSetDevice(index_), "changing the device");
  }
  ~Current() {
    if (before_ != index_ && in_use(before_)) cudaSetDevice(before_);
  }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  int index_, before_ = 0;
};

// Lets this thread do what might, for all CUDA knows, disturb a capture that is under way somewhere: torch captures in
// the mode that forbids it to all threads.
class Uncaptured {
 public:
  Uncaptured() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~Uncaptured() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  Uncaptured(const Uncaptured&) = delete;
  Uncaptured& operator=(const Uncaptured&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

// ---- kernels -------------------------------------------------------------------------------------------------------

struct Kernel {
  int formats;
  int blocks;  // that fit on a multiprocessor
  const void* function;
};

constexpr int F32 = format_of(FLOAT32, false, false), F64 = format_of(FLOAT64, false, false);
constexpr int BF16 = format_of(BFLOAT16, false, false), BF16_MASTER = format_of(BFLOAT16, true, false);

template <class Rule, int FORMATS, int BLOCKS>
Kernel update_for() {
  return {FORMATS, BLOCKS, reinterpret_cast<const void*>(&update_kernel<Rule, FORMATS, BLOCKS>)};
}

template <class Rule, int FORMATS, int BLOCKS>
Kernel update_at_once_for() {
  return {FORMATS, BLOCKS, reinterpret_cast<const void*>(&update_at_once_kernel<Rule, FORMATS, BLOCKS>)};
}

// The narrowest first: the last runs whatever there is.
template <class Rule>
const std::vector<Kernel>& updates();

template <>
const std::vector<Kernel>& updates<SgdRule>() {
  static const std::vector<Kernel> all = {update_for<SgdRule, F32, 4>(), update_for<SgdRule, BF16, 4>(),
                                          update_for<SgdRule, BF16_MASTER, 4>(), update_for<SgdRule, F64, 3>(),
                                          update_for<SgdRule, EVERYTHING, 3>()};
  return all;
}

template <>
const std::vector<Kernel>& updates<AdamRule>() {
  static const std::vector<Kernel> all = {update_for<AdamRule, F32, 4>(),  update_for<AdamRule, F32 | AMSGRADS, 3>(),
                                          update_for<AdamRule, BF16, 4>(), update_for<AdamRule, BF16_MASTER, 3>(),
                                          update_for<AdamRule, F64, 3>(),  update_for<AdamRule, EVERYTHING, 2>()};
  return all;
}

template <class Rule>
const std::vector<Kernel>& updates_at_once() {
  static const std::vector<Kernel> all = {update_at_once_for<Rule, TICKETED[0], 3>(),
                                          update_at_once_for<Rule, TICKETED[1], 3>()};
  return all;
}

const Kernel& made_for(int formats, const std::vector<Kernel>& kernels) {
  return *std::find_if(kernels.begin(), kernels.end() - 1,
                       [formats](const Kernel& kernel) { return (formats & ~kernel.formats) == 0; });
}

template <class Rule>
const void* norm_function() {
  return reinterpret_cast<const void*>(&norm_kernel<Rule>);
}

template <class Rule>
const void* advance_function() {
  return reinterpret_cast<const void*>(&advance_kernel<Rule>);
}

// Kernels that evaluate, and whose first argument are the tables.
std::vector<const void*> evaluating_functions() {
  std::vector<const void*> all = {norm_function<SgdRule>(),
                                  norm_function<AdamRule>(),
                                  advance_function<SgdRule>(),
                                  advance_function<AdamRule>(),
                                  reinterpret_cast<const void*>(&report_kernel),
                                  reinterpret_cast<const void*>(&report_number_kernel),
                                  reinterpret_cast<const void*>(&schedule_kernel)};
  for (const auto* kernels : {&updates_at_once<SgdRule>(), &updates_at_once<AdamRule>()})
    for (const Kernel& kernel : *kernels) all.push_back(kernel.function);
  return all;
}

std::vector<const void*> other_functions() {
  std::vector<const void*> all = {reinterpret_cast<const void*>(&evaluate_kernel)};
  for (const auto* kernels : {&updates<SgdRule>(), &updates<AdamRule>()})
    for (const Kernel& kernel : *kernels) all.push_back(kernel.function);
  return all;
}

constexpr size_t SMALL_STAGING = size_t{1} << 16, MOST_STAGINGS = 64;

}  // namespace

// ---- launches ------------------------------------------------------------------------------------------------------

struct CudaStream {
  CudaDevice& device;
  uintptr_t stream;

  template <class... Arguments>
  void launch(const void* function, int64_t blocks, bool early, Arguments... arguments) const {
    void* pointers[] = {const_cast<void*>(static_cast<const void*>(&arguments))...};
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(static_cast<unsigned>(blocks));
    config.blockDim = dim3(THREADS);
    config.stream = stream_of(stream);
    cudaLaunchAttribute attribute{};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    config.attrs = &attribute;
    config.numAttrs = early && device.may_come_early_ ? 1 : 0;
    check(cudaLaunchKernelExC(&config, function, pointers), "launching a kernel");
    ++device.launches;
  }

  // As many blocks as there is work for, and some beside, but no more than run at a time.
  int64_t blocks_for(const Tables& t, int resident, int64_t beside = 0) const {
    return std::clamp<int64_t>(t.n_chunks + beside, 1, static_cast<int64_t>(device.multiprocessors_) * resident);
  }

  template <class Rule>
  void norm(const Tables& t, bool advances) const {
    launch(norm_function<Rule>(), blocks_for(t, NORM_BLOCKS), false, t, advances);
  }

  template <class Rule>
  void advance(const Tables& t) const {
    launch(advance_function<Rule>(), 1, false, t);
  }

  template <class Rule>
  void update(const Tables& t, int formats, bool early) const {
    const Kernel& kernel = made_for(formats, updates<Rule>());
    launch(kernel.function, blocks_for(t, kernel.blocks, 1), early, t);
  }

  template <class Rule>
  void update_at_once(const Tables& t, int formats) const {
    const Kernel& kernel = made_for(formats, updates_at_once<Rule>());
    launch(kernel.function, blocks_for(t, kernel.blocks), false, t);
  }
};

// ---- the device ----------------------------------------------------------------------------------------------------

CudaDevice::CudaDevice(int index) : index_(index) {
  const Current current(index_);
  const Uncaptured uncaptured;
  int major = 0;
  check(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, index_), "asking about the device");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index_), "asking about the device");
  may_come_early_ = major >= 9;
  wanted_chunks = 8 * static_cast<int64_t>(multiprocessors_);
  cudaStream_t aside = nullptr;
  check(cudaStreamCreateWithFlags(&aside, cudaStreamNonBlocking), "making a stream");
  aside_ = aside;
  for (int i = 0; i < 4; ++i) staging(SMALL_STAGING);
}

// Where the driver has gone before, at the end of a process, there is nothing left to give back.
CudaDevice::~CudaDevice() {
  for (const Staging& staging : stagings_) {
    cudaEventDestroy(static_cast<cudaEvent_t>(staging.event));
    cudaFreeHost(staging.memory);
  }
  if (aside_ != nullptr) cudaStreamDestroy(static_cast<cudaStream_t>(aside_));
  cudaGetLastError();
}

bool CudaDevice::capturing(uintptr_t stream) const {
  const Current current(index_);
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream_of(stream), &status), "asking about a capture");
  return status != cudaStreamCaptureStatusNone;
}

uintptr_t CudaDevice::allocate(size_t size) const {
  const Current current(index_);
  const Uncaptured uncaptured;
  void* memory = nullptr;
  check(cudaMalloc(&memory, size), "allocating memory");
  return reinterpret_cast<uintptr_t>(memory);
}

void CudaDevice::free(uintptr_t address) const {
  const Current current(index_);
  const Uncaptured uncaptured;
  cudaFree(reinterpret_cast<void*>(address));
  cudaGetLastError();
}

// A free one of at least `size` bytes. There are as many as uploads are under way, and the host waits only if those are
// very many.
CudaDevice::Staging& CudaDevice::staging(size_t size) {
  for (Staging& candidate : stagings_) {
    if (candidate.size < size) continue;
    const cudaError_t status = cudaEventQuery(static_cast<cudaEvent_t>(candidate.event));
    if (status == cudaSuccess) return candidate;
    if (status != cudaErrorNotReady) check(status, "asking about an upload");
    cudaGetLastError();
  }
  if (stagings_.size() >= MOST_STAGINGS) {
    for (Staging& candidate : stagings_) {
      if (candidate.size < size) continue;
      check(cudaEventSynchronize(static_cast<cudaEvent_t>(candidate.event)), "waiting for an upload");
      return candidate;
    }
  }
  Staging made{nullptr, std::max(size, SMALL_STAGING), nullptr};
  cudaEvent_t event = nullptr;
  check(cudaHostAlloc(&made.memory, made.size, cudaHostAllocDefault), "allocating memory of the host's");
  const cudaError_t status = cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  if (status != cudaSuccess) cudaFreeHost(made.memory);
  check(status, "making an event");
  made.event = event;
  stagings_.push_back(made);
  return stagings_.back();
}

void CudaDevice::upload(uintptr_t to, uintptr_t source, size_t size, uintptr_t stream) {
  if (size == 0) return;
  const Current current(index_);
  const Uncaptured uncaptured;
  void* const target = reinterpret_cast<void*>(to);
  const void* const from = reinterpret_cast<const void*>(source);
  ++uploads;
  if (capturing(stream)) {
    const auto aside = static_cast<cudaStream_t>(aside_);
    check(cudaMemcpyAsync(target, from, size, cudaMemcpyHostToDevice, aside), "copying to the device");
    check(cudaStreamSynchronize(aside), "copying to the device");
    return;
  }
  const Staging& through = staging(size);
  memcpy(through.memory, from, size);
  check(cudaMemcpyAsync(target, through.memory, size, cudaMemcpyHostToDevice, stream_of(stream)),
        "copying to the device");
  check(cudaEventRecord(static_cast<cudaEvent_t>(through.event), stream_of(stream)), "marking an upload");
}

void CudaDevice::download(uintptr_t to, uintptr_t source, size_t size, uintptr_t stream) const {
  refuse_in_capture(stream);
  const Current current(index_);
  const Uncaptured uncaptured;
  if (size != 0)
    check(cudaMemcpyAsync(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(source), size,
                          cudaMemcpyDeviceToHost, stream_of(stream)),
          "copying from the device");
  synchronize(stream);
}

// Asking CUDA itself would end the capture.
void CudaDevice::refuse_in_capture(uintptr_t stream) const {
  if (capturing(stream)) throw std::runtime_error("the host cannot wait for the device during a capture");
}

void CudaDevice::synchronize(uintptr_t stream) const {
  refuse_in_capture(stream);
  const Current current(index_);
  const Uncaptured uncaptured;
  check(cudaStreamSynchronize(stream_of(stream)), "waiting for the device");
}

void CudaDevice::preload() const {
  const Current current(index_);
  const Uncaptured uncaptured;
  cudaFuncAttributes attributes;
  for (const void* const function : other_functions())
    check(cudaFuncGetAttributes(&attributes, function), "loading a kernel");
  // The evaluator's stack is more than a driver sets aside at first; it makes room, and waits for the device, when such
  // a kernel first runs.
  Tables trial{};
  int64_t nothing = 0;
  void* arguments[] = {&trial, &nothing, &nothing, &nothing};
  const auto aside = static_cast<cudaStream_t>(aside_);
  for (const void* const function : evaluating_functions())
    check(cudaLaunchKernel(function, dim3(1), dim3(THREADS), arguments, 0, aside), "launching a kernel");
  check(cudaStreamSynchronize(aside), "waiting for the device");
}

void CudaDevice::step(int kind, int formats, const Tables& t, uintptr_t stream) {
  const Current current(index_);
  const CudaStream to{*this, stream};
  if (kind == static_cast<int>(Rule::SGD)) {
    launch_step<SgdRule>(to, variant, formats, t);
  } else {
    launch_step<AdamRule>(to, variant, formats, t);
  }
}

void CudaDevice::measure(const Tables& t, uintptr_t stream) {
  const Current current(index_);
  CudaStream{*this, stream}.norm<SgdRule>(t, false);
}

void CudaDevice::report(const Tables& t, int64_t metric, uintptr_t value, int32_t dtype, uintptr_t stream) {
  const Current current(index_);
  const uint64_t place = value;
  CudaStream{*this, stream}.launch(reinterpret_cast<const void*>(&report_kernel), 1, false, t, metric, place, dtype);
}

void CudaDevice::report_number(const Tables& t, int64_t metric, double value, uintptr_t stream) {
  const Current current(index_);
  CudaStream{*this, stream}.launch(reinterpret_cast<const void*>(&report_number_kernel), 1, false, t, metric, value);
}

void CudaDevice::publish(const Tables& t, bool advances, uintptr_t stream) {
  const Current current(index_);
  CudaStream{*this, stream}.launch(reinterpret_cast<const void*>(&schedule_kernel), 1, false, t, advances);
}

void CudaDevice::evaluate(uintptr_t program, uintptr_t slots, uintptr_t steps, int64_t count, uintptr_t out,
                          uintptr_t stream) {
  const Current current(index_);
  const int64_t blocks = std::clamp<int64_t>((count + THREADS - 1) / THREADS, 1, 8 * multiprocessors_);
  CudaStream{*this, stream}.launch(reinterpret_cast<const void*>(&evaluate_kernel), blocks, false,
                                   static_cast<uint64_t>(program), static_cast<uint64_t>(slots),
                                   static_cast<uint64_t>(steps), count, static_cast<uint64_t>(out));
}

}  // namespace lrdsl
