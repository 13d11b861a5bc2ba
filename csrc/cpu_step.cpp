// The CPU kernel. Compiled once per instruction set, as lrdsl::LRDSL_ISA::run. Everything else must be local to the
// file, templates of the standard library too: of a shared one the linker keeps a single copy, and it could be the
// newest.
#ifdef _OPENMP
#include <omp.h>
#endif

#include <cstring>
#include <type_traits>

#include "cpu_step.h"

namespace lrdsl {
namespace {

constexpr int64_t PREFETCH_BYTES = 1024;

template <class T>
constexpr int64_t BLOCK = BLOCK_BYTES / static_cast<int64_t>(sizeof(T));

template <class E>
inline void prefetch(const E* at) {
  __builtin_prefetch(reinterpret_cast<const char*>(reinterpret_cast<uintptr_t>(at) + PREFETCH_BYTES));
}

// The elements at one index are loaded, updated on registers and stored: without the copies every store could change a
// later load, and nothing would become vector code.
template <class E>
inline void store_unless_const(E& to, Opmath<E> value) {
  store(to, value);
}
template <class E>
inline void store_unless_const(const E&, Opmath<E>) {}

template <class Update, class... E>
inline void through_registers(const Update& update, E&... at) {
  [&update, &at...](Opmath<std::remove_const_t<E>>... r) {
    update(r...);
    (store_unless_const(at, r), ...);
  }(load(at)...);
}

// Applies `update` to n elements of all streams at once. Whole blocks have a fixed count, so that the inner loop
// becomes straight vector code; the last, partial block is the same source.
template <class T, class Update, class... E>
inline void sweep(int64_t n, Update update, E*... streams) {
  int64_t at = 0;
  for (; at + BLOCK<T> <= n; at += BLOCK<T>) {
    (prefetch(streams + at), ...);
#pragma omp simd
    for (int64_t i = 0; i < BLOCK<T>; ++i) through_registers(update, streams[at + i]...);
  }
  for (; at < n; ++at) through_registers(update, streams[at]...);
}

// Calls `use` with the elements from index `begin` on at `address`, as what they are; T is their opmath.
template <class T, class Use>
inline void typed(int32_t dtype, uint64_t address, int64_t begin, const Use& use) {
  if constexpr (std::is_same_v<T, double>) {
    use(pointer<double>(address) + begin);
  } else if (dtype == BFLOAT16) {
    use(pointer<Bfloat16>(address) + begin);
  } else if (dtype == FLOAT16) {
    use(pointer<Float16>(address) + begin);
  } else {
    use(pointer<float>(address) + begin);
  }
}

// Not inlined, or each rule would have its own copies.
template <class T>
[[gnu::noinline]] void widen(int32_t dtype, uint64_t address, int64_t begin, int64_t n, T* to) {
  typed<T>(dtype, address, begin,
           [n, to](const auto* from) { sweep<T>(n, [](T& to, T value) { to = value; }, to, from); });
}

template <class T>
[[gnu::noinline]] void narrow(const T* from, int32_t dtype, uint64_t address, int64_t begin, int64_t n) {
  typed<T>(dtype, address, begin, [n, from](auto* to) { sweep<T>(n, [](T& to, T value) { to = value; }, to, from); });
}

void clear(const TensorRow& row, int64_t begin, int64_t n) {
  const int64_t size = bytes_of(grad_dtype(row));
  memset(pointer<char>(row.g) + begin * size, 0, static_cast<size_t>(n * size));
}

// ---- update
// ----------------------------------------------------------------------------------------------------------

// Low precision, scaling and zeroing happen around the rule, on stretches that stay in the L1 cache. So there is one
// loop per rule and opmath, however many the combinations, and memory sees every stream once. As long as the prefetch
// reaches, so that every stretch is there when it begins.
constexpr int64_t STRETCH = 256;

template <class T, class Update, class... State>
inline void apply(const StepPlan& plan, const TensorRow& row, int64_t begin, int64_t end, Update update,
                  State*... state) {
  const Preparation<T> prepare(*plan.control);
  const bool zero = (plan.control->flags & ZERO) != 0;
  const bool low = is_low(row.dtype);
  const bool grad_in_place = !is_low(grad_dtype(row)) && !prepare.needed;
  const uint64_t original = low ? row.master : row.p;
  alignas(64) T p_buffer[STRETCH], g_buffer[STRETCH];
  const int64_t length = original != 0 && !low && grad_in_place && !zero ? end - begin : STRETCH;
  for (int64_t at = begin; at < end; at += length) {
    const int64_t n = length < end - at ? length : end - at;
    T* p = pointer<T>(original) + at;
    const T* g = pointer<const T>(row.g) + at;
    if (original == 0) widen<T>(row.dtype, row.p, at, n, p = p_buffer);
    if (!grad_in_place) {
      widen<T>(grad_dtype(row), row.g, at, n, g_buffer);
      if (prepare.needed) sweep<T>(n, [prepare](T& g) { g = prepare(g); }, g_buffer);
      g = g_buffer;
    }
    sweep<T>(n, update, p, g, state + at...);
    if (low) narrow<T>(p, row.dtype, row.p, at, n);
    if (zero) clear(row, at, n);
  }
}

template <class T>
void sgd(const StepPlan& plan, const TensorRow& row, int64_t begin, int64_t end) {
  const Hyper& hyper = plan.hypers[row.group];
  const Sgd<T> rule(hyper, (row.flags & STARTED) != 0);
  if (hyper.momentum == 0.0) {
    apply<T>(plan, row, begin, end, [rule](T& p, T g) { rule.plain(p, g); });
  } else {
    apply<T>(
        plan, row, begin, end, [rule](T& p, T g, T& m) { rule.with_momentum(p, g, m); },  //
        pointer<T>(row.m));
  }
}

template <class T>
void adam(const StepPlan& plan, const TensorRow& row, const AdamFactors& factors, int64_t begin, int64_t end) {
  const Adam<T> rule(factors);
  T* const m = pointer<T>(row.m);
  T* const v = pointer<T>(row.v);
  if ((plan.hypers[row.group].flags & AMSGRAD) == 0) {
    apply<T>(plan, row, begin, end, [rule](T& p, T g, T& m, T& v) { rule.plain(p, g, m, v); }, m, v);
  } else {
    apply<T>(
        plan, row, begin, end, [rule](T& p, T g, T& m, T& v, T& vmax) { rule.amsgrad(p, g, m, v, vmax); },  //
        m, v, pointer<T>(row.vmax));
  }
}

template <class T>
void limit(const StepPlan& plan, const TensorRow& row, int64_t begin, int64_t end) {
  apply<T>(
      plan, row, begin, end, [](T& p, T g, T& m, T& v) { Limit<T>().plain(p, g, m, v); },  //
      pointer<T>(row.m), pointer<T>(row.v));
}

template <class T>
void update(const StepPlan& plan, int64_t index, int64_t begin, int64_t end) {
  const TensorRow& row = plan.rows[index];
  switch (plan.rule) {
    case Rule::SGD:
      return sgd<T>(plan, row, begin, end);
    case Rule::ADAM:
      return adam<T>(plan, row, plan.factors[plan.factors_of[index]], begin, end);
    case Rule::LIMIT:
      return limit<T>(plan, row, begin, end);
  }
}

// ---- norm
// ------------------------------------------------------------------------------------------------------------

template <class T, class E>
double sum_of_squares(const E* g, int64_t n) {
  alignas(64) T lanes[LANES] = {};
  for (int64_t at = 0; at < n; at += LANES)
    sweep<T>(LANES < n - at ? LANES : n - at, [](T& lane, T g) { tally(lane, g); }, lanes, g + at);
  return static_cast<double>(sum_of_lanes(lanes));
}

// The chunks that begin in [begin, end).
template <class T>
void measure(const StepPlan& plan, int64_t index, int64_t begin, int64_t end) {
  const TensorRow& row = plan.rows[index];
  for (int64_t chunk = (begin + NORM_CHUNK - 1) / NORM_CHUNK; chunk * NORM_CHUNK < end; ++chunk) {
    const int64_t at = chunk * NORM_CHUNK;
    const int64_t n = NORM_CHUNK < row.n - at ? NORM_CHUNK : row.n - at;
    typed<T>(grad_dtype(row), row.g, at,
             [&](const auto* g) { plan.partials[plan.first_chunk[index] + chunk] = sum_of_squares<T>(g, n); });
  }
}

// ---- the walk
// --------------------------------------------------------------------------------------------------------

template <class T>
void visit(const StepPlan& plan, int64_t index, int64_t begin, int64_t end) {
  switch (plan.pass) {
    case Pass::UPDATE:
      return update<T>(plan, index, begin, end);
    case Pass::MEASURE:
      return measure<T>(plan, index, begin, end);
    case Pass::CLEAR:
      return clear(plan.rows[index], begin, end - begin);
  }
}

// The last row that starts at or before `block`; of several, as empty rows make them, the one that has it.
int64_t row_of(const StepPlan& plan, int64_t block) {
  int64_t low = 0, high = plan.n_rows;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (plan.first_block[middle] <= block ? low : high) = middle;
  }
  return low;
}

// Part `part` of `parts`: equal counts of blocks, whatever tensors they fall into.
void work(const StepPlan& plan, int64_t part, int64_t parts) {
  const int64_t total = plan.first_block[plan.n_rows];
  const int64_t end = total / parts * (part + 1) + total % parts * (part + 1) / parts;
  int64_t block = total / parts * part + total % parts * part / parts;
  if (block == end) return;
  for (int64_t index = row_of(plan, block); block < end; ++index) {
    const int64_t row_begin = plan.first_block[index];
    const int64_t row_end = plan.first_block[index + 1];
    const int64_t stop = row_end < end ? row_end : end;
    if (block == stop) continue;  // an empty row
    const TensorRow& row = plan.rows[index];
    const int shift = block_shift(row.dtype);
    const int64_t first = (block - row_begin) << shift;
    const int64_t padded = (stop - row_begin) << shift;
    const int64_t last = padded < row.n ? padded : row.n;
    if (row.dtype == FLOAT64) {
      visit<double>(plan, index, first, last);
    } else {
      visit<float>(plan, index, first, last);
    }
    block = stop;
  }
}

}  // namespace

namespace LRDSL_ISA {

void run(const StepPlan& plan) {
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
