// The kernels: a thin coat round each body. Their argument holds places, never a number that a schedule may change.
#pragma once

#include "cuda_grid.h"
#include "kernel_body.h"

namespace lrdsl {

// Between two launches of which the second may come EARLY: the first lets it come, the second waits until all that the
// first wrote can be seen. Without such a launch neither does anything.
__device__ __forceinline__ void let_next_come() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

__device__ __forceinline__ void wait_for_last() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
#endif
}

constexpr int NORM_BLOCKS = 4;  // on a multiprocessor

// Whether a kernel is only being loaded.
__device__ __forceinline__ bool is_trial(const Tables& t) { return t.state == nullptr; }

template <class Rule>
__global__ void __launch_bounds__(THREADS, NORM_BLOCKS) norm_kernel(const __grid_constant__ Tables t, bool advances) {
  __shared__ Shared shared;
  let_next_come();
  if (is_trial(t)) return;
  norm<Rule>(CudaGrid(), t, shared, advances);
}

template <class Rule>
__global__ void __launch_bounds__(THREADS) advance_kernel(const __grid_constant__ Tables t) {
  let_next_come();
  if (is_trial(t)) return;
  advance<Rule>(CudaGrid(), t);
}

// BLOCKS have to fit on a multiprocessor: 4 leave 64 registers for a thread, 3 leave 80, 2 leave 128.
template <class Rule, int FORMATS, int BLOCKS>
__global__ void __launch_bounds__(THREADS, BLOCKS) update_kernel(const __grid_constant__ Tables t) {
  wait_for_last();
  update<Rule, FORMATS>(CudaGrid(), t);
}

template <class Rule, int FORMATS, int BLOCKS>
__global__ void __launch_bounds__(THREADS, BLOCKS) update_at_once_kernel(const __grid_constant__ Tables t) {
  __shared__ Shared shared;
  if (is_trial(t)) return;
  update_at_once<Rule, FORMATS>(CudaGrid(), t, shared);
}

static __global__ void __launch_bounds__(THREADS)
    report_kernel(const __grid_constant__ Tables t, int64_t metric, uint64_t value, int32_t dtype) {
  if (is_trial(t)) return;
  report(CudaGrid(), t, metric, number_at(value, dtype));
}

static __global__ void __launch_bounds__(THREADS)
    report_number_kernel(const __grid_constant__ Tables t, int64_t metric, double value) {
  if (is_trial(t)) return;
  report(CudaGrid(), t, metric, value);
}

static __global__ void __launch_bounds__(THREADS) schedule_kernel(const __grid_constant__ Tables t, bool advances) {
  if (is_trial(t)) return;
  schedule(CudaGrid(), t, advances);
}

// The values of a Program for many updates; for tests and for `lrdsl doctor`.
static __global__ void __launch_bounds__(THREADS)
    evaluate_kernel(uint64_t program, uint64_t slots, uint64_t steps, int64_t count, uint64_t out) {
  for (int64_t i = int64_t{blockIdx.x} * THREADS + threadIdx.x; i < count; i += int64_t{gridDim.x} * THREADS)
    pointer<double>(out)[i] =
        evaluate(*pointer<const Program>(program), pointer<const int64_t>(steps)[i], pointer<const double>(slots));
}

}  // namespace lrdsl
