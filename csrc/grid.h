// What the bodies of the device's kernels are written on, on a device (cuda_grid.h) and, for tests, on the host
// (host_grid.h).
//
// A Grid is what one block sees:
//   block(), blocks()     which block this is, and of how many
//   each_thread(f)        f(thread) for all THREADS, then a barrier
//   one_thread(f)         f() once, then a barrier
//   last(&ticket)         whether all other blocks have come here before, and what they wrote can be seen
//   show()                what this thread wrote can be seen by the host before what it writes next
// Between two calls every thread of the block runs the same code. So a phase may not write what the code just before it
// reads: some thread may still be there.
#pragma once

#if defined(__CUDACC__)
#define LRDSL_BODY __device__ __forceinline__
// A call, so that the evaluator's registers are not the update's.
#define LRDSL_ASIDE __device__ __noinline__
#define LRDSL_UNROLL _Pragma("unroll")
#define LRDSL_ROLLED _Pragma("unroll 1")
#else
#define LRDSL_BODY inline
#define LRDSL_ASIDE inline
#define LRDSL_UNROLL
#define LRDSL_ROLLED
#endif

namespace lrdsl {

constexpr int THREADS = 256;

}  // namespace lrdsl
