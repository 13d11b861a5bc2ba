// What the threads of a block do to one chunk: the update of its elements, whatever they are made of.
#pragma once

#include <cstdint>
#include <type_traits>

#include "device_tables.h"
#include "element.h"
#include "grid.h"
#include "update.h"

namespace lrdsl {

LRDSL_BODY int64_t elements_of(const Tables& t, const Chunk& chunk) {
  const int64_t left = t.rows[chunk.row].n - chunk.start;
  return t.length < left ? t.length : left;
}

// What is asked for, with the norm that was found.
LRDSL_BODY Control control_of(const Tables& t) {
  Control control = t.control;
  control.norm = t.state->norm;
  return control;
}

// ---- formats --------------------------------------------------------------------------------------------------------

// What a row is made of, as one bit. A kernel is made for some formats, with AMSGRADS or without: the one for
// EVERYTHING runs whatever there is, in one launch, but one for a single format needs fewer registers. A launcher picks
// a kernel made for all that its rows and groups have.
constexpr LRDSL_HD int format_of(int32_t dtype, bool master, bool grad_float32) {
  const int variant = (master ? 2 : 0) + (grad_float32 ? 1 : 0);
  return dtype == FLOAT32 ? 1 : dtype == FLOAT64 ? 2 : (dtype == BFLOAT16 ? 4 : 64) << variant;
}
constexpr int AMSGRADS = 1024, EVERYTHING = 2047;

LRDSL_HD int format_of(const TensorRow& row, const Gradient& gradient) {
  return format_of(row.dtype, row.master != 0, is_low(row.dtype) && gradient.dtype == FLOAT32);
}

constexpr LRDSL_HD int32_t dtype_of(float) { return FLOAT32; }
constexpr LRDSL_HD int32_t dtype_of(double) { return FLOAT64; }
constexpr LRDSL_HD int32_t dtype_of(Bfloat16) { return BFLOAT16; }
constexpr LRDSL_HD int32_t dtype_of(Float16) { return FLOAT16; }

// ---- memory ---------------------------------------------------------------------------------------------------------

// Neighbours that a thread loads and stores at once.
template <class E, int W>
struct alignas(sizeof(E) * W) Pack {
  E at[W];
};

template <int W, class E>
LRDSL_BODY Pack<E, W>& pack(E* elements, int index) {
  return *reinterpret_cast<Pack<E, W>*>(elements + index);
}

// Four make 16 bytes of float32, the widest stream there. Two doubles would too, but take more registers than there
// are.
template <class T>
constexpr int WIDTH = sizeof(T) == 4 ? 4 : 1;

template <class E>
LRDSL_BODY bool is_aligned(const E* elements) {
  return reinterpret_cast<uintptr_t>(elements) % (sizeof(E) * WIDTH<Opmath<E>>) == 0;
}

// The tensors of a row from the chunk's first element on. With a MASTER the parameter is written and never read.
template <class P, class G, bool MASTER, int STATES>
struct Streams {
  using T = Opmath<P>;
  P* p;
  G* g;
  T* master;
  T* state[STATES + 1];  // one too many: there are no arrays of none

  LRDSL_BODY Streams(const TensorRow& row, const Gradient& gradient, int64_t start)
      : p(pointer<P>(row.p) + start), g(pointer<G>(gradient.place) + start), master(pointer<T>(row.master) + start) {
    const uint64_t places[] = {row.m, row.v, row.vmax};
    for (int k = 0; k < STATES; ++k) state[k] = pointer<T>(places[k]) + start;
  }

  LRDSL_BODY auto* original() const {
    if constexpr (MASTER) {
      return master;
    } else {
      return p;
    }
  }

  LRDSL_BODY bool aligned() const {
    bool all = is_aligned(p) && reinterpret_cast<uintptr_t>(g) % (sizeof(G) * WIDTH<T>) == 0;
    if (MASTER) all = all && is_aligned(master);
    for (int k = 0; k < STATES; ++k) all = all && is_aligned(state[k]);
    return all;
  }
};

// The elements [begin, end) in packs of W; their count is a multiple of it. All loads of a pack come before its stores:
// the compiler could not move them there, since for all it knows the streams overlap. One pack at a time: two take 77
// registers in fp32, and with 64 there are enough blocks to wait for memory.
template <int W, class P, class G, bool MASTER, int STATES, class Update>
LRDSL_BODY void sweep(const Streams<P, G, MASTER, STATES>& to, int begin, int end, int thread, const Update& update,
                      const Preparation<Opmath<P>>& prepare, bool zero) {
  using T = Opmath<P>;
  using Original = std::conditional_t<MASTER, T, P>;
  LRDSL_ROLLED
  for (int at = begin + thread * W; at < end; at += THREADS * W) {
    Pack<Original, W> original = pack<W>(to.original(), at);
    const Pack<G, W> raw = pack<W>(to.g, at);
    Pack<T, W> state[STATES + 1];
    LRDSL_UNROLL
    for (int k = 0; k < STATES; ++k) state[k] = pack<W>(to.state[k], at);
    Pack<T, W> g;
    LRDSL_UNROLL
    for (int i = 0; i < W; ++i) g.at[i] = load(raw.at[i]);
    if (prepare.needed) {
      LRDSL_UNROLL
      for (int i = 0; i < W; ++i) g.at[i] = prepare(g.at[i]);
    }
    Pack<P, W> rounded;
    LRDSL_UNROLL
    for (int i = 0; i < W; ++i) {
      T p = load(original.at[i]), now[STATES + 1];
      LRDSL_UNROLL
      for (int k = 0; k < STATES; ++k) now[k] = state[k].at[i];
      update(p, g.at[i], now);
      store(original.at[i], p);
      if constexpr (MASTER) store(rounded.at[i], p);
      LRDSL_UNROLL
      for (int k = 0; k < STATES; ++k) state[k].at[i] = now[k];
    }
    pack<W>(to.original(), at) = original;
    if constexpr (MASTER) pack<W>(to.p, at) = rounded;
    LRDSL_UNROLL
    for (int k = 0; k < STATES; ++k) pack<W>(to.state[k], at) = state[k];
    if (zero) pack<W>(to.g, at) = Pack<G, W>{};
  }
}

// The elements of a chunk.
struct Part {
  const TensorRow& row;
  const Gradient& gradient;
  int64_t start;
  int n;

  LRDSL_BODY Part(const Tables& t, const Chunk& chunk)
      : row(t.rows[chunk.row]),
        gradient(t.gradients[chunk.row]),
        start(chunk.start),
        n(static_cast<int>(elements_of(t, chunk))) {}
};

// What one thread does to its share of a chunk.
template <class P, class G, bool MASTER, int STATES, class Update>
LRDSL_BODY void apply(const Tables& t, const Part& part, int thread, const Update& update) {
  using T = Opmath<P>;
  const Streams<P, G, MASTER, STATES> streams(part.row, part.gradient, part.start);
  const int n = part.n;
  const Preparation<T> prepare(control_of(t));
  const bool zero = (t.control.flags & ZERO) != 0;
  const int whole = streams.aligned() ? n / WIDTH<T> * WIDTH<T> : 0;
  sweep<WIDTH<T>>(streams, 0, whole, thread, update, prepare, zero);
  if (whole < n) sweep<1>(streams, whole, n, thread, update, prepare, zero);
}

// ---- rules ----------------------------------------------------------------------------------------------------------

struct SgdRule {
  static LRDSL_BODY Bias bias(const Hyper&, const TensorRow& row) { return {{}, (row.flags & STARTED) != 0}; }
  // The same, from that of a row with the same group and step.
  static LRDSL_BODY Bias shared(const Bias& other, const TensorRow& row) {
    return {other.factors, (row.flags & STARTED) != 0};
  }

  template <int FORMATS, class P, class G, bool MASTER>
  static LRDSL_BODY void run(const Tables& t, const Hyper& hyper, const Bias& bias, const Part& part, int thread) {
    using T = Opmath<P>;
    const Sgd<T> rule(hyper, bias.started);
    if (hyper.momentum == 0.0 || part.row.m == 0) {
      apply<P, G, MASTER, 0>(t, part, thread, [rule](T& p, T g, T*) { rule.plain(p, g); });
    } else {
      apply<P, G, MASTER, 1>(t, part, thread, [rule](T& p, T g, T* state) { rule.with_momentum(p, g, state[0]); });
    }
  }
};

struct AdamRule {
  static LRDSL_BODY Bias bias(const Hyper& hyper, const TensorRow& row) {
    return {adam_factors(hyper, row.step), (row.flags & STARTED) != 0};
  }
  static LRDSL_BODY Bias shared(const Bias& other, const TensorRow& row) { return SgdRule::shared(other, row); }

  template <int FORMATS, class P, class G, bool MASTER>
  static LRDSL_BODY void run(const Tables& t, const Hyper& hyper, const Bias& bias, const Part& part, int thread) {
    using T = Opmath<P>;
    const Adam<T> rule(bias.factors);
    if constexpr ((FORMATS & AMSGRADS) != 0) {
      if ((hyper.flags & AMSGRAD) != 0)
        return apply<P, G, MASTER, 3>(
            t, part, thread, [rule](T& p, T g, T* state) { rule.amsgrad(p, g, state[0], state[1], state[2]); });
    }
    apply<P, G, MASTER, 2>(t, part, thread, [rule](T& p, T g, T* state) { rule.plain(p, g, state[0], state[1]); });
  }
};

// If the row has the format <P, G, MASTER>, and the kernel is made for it.
template <class Rule, int FORMATS, class P, class G, bool MASTER>
LRDSL_BODY void run_if(int format, const Tables& t, const Hyper& hyper, const Bias& bias, const Part& part,
                       int thread) {
  constexpr int own = format_of(dtype_of(P()), MASTER, sizeof(G) > sizeof(P));
  if constexpr ((FORMATS & own) != 0) {
    if (format == own) Rule::template run<FORMATS, P, G, MASTER>(t, hyper, bias, part, thread);
  }
}

template <class Rule, int FORMATS, class P, class... Arguments>
LRDSL_BODY void run_if_low(const Arguments&... arguments) {
  run_if<Rule, FORMATS, P, P, false>(arguments...);
  run_if<Rule, FORMATS, P, P, true>(arguments...);
  run_if<Rule, FORMATS, P, float, false>(arguments...);
  run_if<Rule, FORMATS, P, float, true>(arguments...);
}

template <class Rule, int FORMATS, class... Arguments>
LRDSL_BODY void run(const Arguments&... arguments) {
  run_if<Rule, FORMATS, float, float, false>(arguments...);
  run_if<Rule, FORMATS, double, double, false>(arguments...);
  run_if_low<Rule, FORMATS, Bfloat16>(arguments...);
  run_if_low<Rule, FORMATS, Float16>(arguments...);
}

// What one thread does to a chunk. All threads of a block take the same branches.
template <class Rule, int FORMATS>
LRDSL_BODY void update_chunk(const Tables& t, const Chunk& chunk, const Hyper& hyper, const Bias& bias, int thread) {
  const Part part(t, chunk);
  run<Rule, FORMATS>(format_of(part.row, part.gradient), t, hyper, bias, part, thread);
}

// What one thread leaves of its share of the gradients of a step that is skipped.
LRDSL_BODY void clear_chunk(const Tables& t, const Chunk& chunk, int thread) {
  const Gradient& gradient = t.gradients[chunk.row];
  const int64_t size = bytes_of(gradient.dtype), bytes = elements_of(t, chunk) * size;
  char* const g = pointer<char>(gradient.place) + chunk.start * size;
  // Two bytes are the smallest element.
  for (int64_t at = 2 * thread; at < bytes; at += 2 * THREADS) *reinterpret_cast<uint16_t*>(g + at) = 0;
}

}  // namespace lrdsl
