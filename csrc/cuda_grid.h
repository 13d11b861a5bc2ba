// The Grid of kernel_body.h on a device.
#pragma once

#include "kernel_body.h"

namespace lrdsl {

struct CudaGrid {
  __device__ __forceinline__ int64_t block() const { return blockIdx.x; }
  __device__ __forceinline__ int64_t blocks() const { return gridDim.x; }

  template <class Use>
  __device__ __forceinline__ void each_thread(const Use& use) const {
    use(static_cast<int>(threadIdx.x));
    __syncthreads();
  }

  template <class Use>
  __device__ __forceinline__ void one_thread(const Use& use) const {
    if (threadIdx.x == 0) use();
    __syncthreads();
  }

  __device__ __forceinline__ void show() const { __threadfence_system(); }

  // The pattern of NVIDIA's threadFenceReduction sample: what the block wrote is made visible before its ticket is, and
  // what the others wrote is read after the last ticket.
  __device__ __forceinline__ bool last(uint32_t* ticket) const {
    __shared__ bool is_last;
    __syncthreads();
    if (threadIdx.x == 0) {
      __threadfence();
      is_last = atomicAdd(ticket, 1u) == gridDim.x - 1;
      __threadfence();
    }
    __syncthreads();
    return is_last;
  }
};

}  // namespace lrdsl
