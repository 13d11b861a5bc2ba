// The CPU kernel. Compiled once per instruction set, as lrdsl::LRDSL_ISA::run. Everything else must be local to the
// file, templates of the standard library too: of a shared one the linker keeps a single copy, and it could be the
// newest.
#ifdef _OPENMP
#include <omp.h>
#endif

#include <type_traits>

#include "cpu_step.h"

namespace lrdsl {
namespace {

constexpr int64_t PREFETCH_BYTES = 1024;

template <class T>
constexpr int64_t BLOCK = BLOCK_BYTES / static_cast<int64_t>(sizeof(T));

template <class T>
inline T* pointer(uint64_t address) {
  return reinterpret_cast<T*>(static_cast<uintptr_t>(address));
}

template <class T>
inline void prefetch(const T* at) {
  __builtin_prefetch(reinterpret_cast<const char*>(reinterpret_cast<uintptr_t>(at) + PREFETCH_BYTES));
}

// The elements at one index are loaded, updated on registers and stored: without the copies every store could change a
// later load, and nothing would become vector code.
template <class T>
inline void store(T& to, T value) {
  to = value;
}
template <class T>
inline void store(const T&, T) {}  // a gradient

template <class T, class Update, class... Stream>
inline void through_registers(const Update& update, Stream&... at) {
  [&update, &at...](std::remove_const_t<Stream>... r) {
    update(r...);
    (store(at, r), ...);
  }(at...);
}

// Applies `update` to the elements [begin, end) of all streams at once. Whole blocks have a fixed count, so that the
// inner loop becomes straight vector code; the last, partial block is the same source.
template <class T, class Update, class... Stream>
inline void sweep(int64_t begin, int64_t end, const Update& update, Stream*... streams) {
  int64_t at = begin;
  for (; at + BLOCK<T> <= end; at += BLOCK<T>) {
    (prefetch(streams + at), ...);
#pragma omp simd
    for (int64_t i = 0; i < BLOCK<T>; ++i) through_registers<T>(update, streams[at + i]...);
  }
  for (; at < end; ++at) through_registers<T>(update, streams[at]...);
}

template <class T>
void sgd(const Plan& plan, int64_t index, int64_t begin, int64_t end) {
  const TensorRow& row = plan.rows[index];
  const Hyper& hyper = plan.hypers[row.group];
  const Sgd<T> rule(hyper, (row.flags & STARTED) != 0);
  T* const p = pointer<T>(row.p);
  const T* const g = pointer<const T>(row.g);
  if (hyper.momentum == 0.0) {
    sweep<T>(begin, end, [rule](T& p, T g) { rule.plain(p, g); }, p, g);
  } else {
    sweep<T>(begin, end, [rule](T& p, T g, T& m) { rule.with_momentum(p, g, m); }, p, g, pointer<T>(row.m));
  }
}

template <class T>
void adam(const Plan& plan, int64_t index, int64_t begin, int64_t end) {
  const TensorRow& row = plan.rows[index];
  const Adam<T> rule(plan.factors[plan.factors_of[index]]);
  T* const p = pointer<T>(row.p);
  const T* const g = pointer<const T>(row.g);
  T* const m = pointer<T>(row.m);
  T* const v = pointer<T>(row.v);
  if ((plan.hypers[row.group].flags & AMSGRAD) == 0) {
    sweep<T>(begin, end, [rule](T& p, T g, T& m, T& v) { rule.plain(p, g, m, v); }, p, g, m, v);
  } else {
    sweep<T>(
        begin, end, [rule](T& p, T g, T& m, T& v, T& vmax) { rule.amsgrad(p, g, m, v, vmax); },  //
        p, g, m, v, pointer<T>(row.vmax));
  }
}

template <class T>
void update(const Plan& plan, int64_t index, int64_t first_block, int64_t last_block) {
  const int64_t n = plan.rows[index].n;
  const int64_t begin = first_block * BLOCK<T>;
  const int64_t end = last_block * BLOCK<T> < n ? last_block * BLOCK<T> : n;
  if (plan.rule == Rule::SGD) {
    sgd<T>(plan, index, begin, end);
  } else {
    adam<T>(plan, index, begin, end);
  }
}

// The last row that starts at or before `block`; of several, as empty rows make them, the one that has it.
int64_t row_of(const Plan& plan, int64_t block) {
  int64_t low = 0, high = plan.n_rows;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (plan.first_block[middle] <= block ? low : high) = middle;
  }
  return low;
}

// Part `part` of `parts`: equal counts of blocks, whatever tensors they fall into.
void work(const Plan& plan, int64_t part, int64_t parts) {
  const int64_t total = plan.first_block[plan.n_rows];
  const int64_t end = total / parts * (part + 1) + total % parts * (part + 1) / parts;
  int64_t block = total / parts * part + total % parts * part / parts;
  if (block == end) return;
  for (int64_t index = row_of(plan, block); block < end; ++index) {
    const int64_t row_begin = plan.first_block[index];
    const int64_t row_end = plan.first_block[index + 1];
    const int64_t stop = row_end < end ? row_end : end;
    if (block == stop) continue;  // an empty row
    if (plan.rows[index].dtype == FLOAT64) {
      update<double>(plan, index, block - row_begin, stop - row_begin);
    } else {
      update<float>(plan, index, block - row_begin, stop - row_begin);
    }
    block = stop;
  }
}

}  // namespace

namespace LRDSL_ISA {

void run(const Plan& plan) {
#ifdef _OPENMP
  if (plan.threads > 1) {
#pragma omp parallel num_threads(plan.threads)
    work(plan, omp_get_thread_num(), omp_get_num_threads());
    return;
  }
#endif
  work(plan, 0, 1);
}

}  // namespace LRDSL_ISA
}  // namespace lrdsl
