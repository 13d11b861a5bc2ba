// What a header needs in order to be compiled for host and device alike.
#pragma once

#if defined(__CUDACC__)
#define LRDSL_HD __host__ __device__ __forceinline__
#elif defined(__GNUC__)
// Always inlined: objects for several instruction sets are linked into one module, and an out-of-line copy made for the
// newest of them could be the one that the linker keeps for all.
#define LRDSL_HD inline __attribute__((always_inline))
#else
#define LRDSL_HD inline
#endif
