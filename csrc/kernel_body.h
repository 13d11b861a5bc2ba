// The bodies of the device's kernels: norm, advance, update, and update with a ticket. Templated on a Grid, so that the
// same source runs on a device (cuda_grid.h) and, for tests, on the host (host_grid.h).
//
// A Grid is what one block sees:
//   block(), blocks()     which block this is, and of how many
//   each_thread(f)        f(thread) for all THREADS, then a barrier
//   one_thread(f)         f() once, then a barrier
//   last(&ticket)         whether all other blocks have come here before, and what they wrote can be seen
// Between two calls every thread of the block runs the same code. So a phase may not write what the code just before it
// reads: some thread may still be there.
//
// Who writes what:
//   norm      partials[] of its own chunks; its last block: control.norm, and all that advance writes if it advances
//   advance   one block: slots, mailboxes, hypers, biases, the rows' counts, clock or skipped; never p, g, m, v
//   update    p, g, m, v of its own chunks, and nothing else; it runs after advance
//   update_at_once   as update, on values computed from the old hypers, counts and clock, which nobody changes until
//   the
//                    last block, knowing that all others are done, writes what advance writes but reports
#pragma once

#include <cstdint>
#include <type_traits>

#include "device_tables.h"
#include "element.h"
#include "evaluate.h"
#include "norm.h"
#include "update.h"

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

// Of one block.
struct Shared {
  float lanes32[LANES];
  double lanes64[LANES];
  Hyper hyper;
  Bias bias;
};

LRDSL_BODY float* lanes_of(Shared& shared, float) { return shared.lanes32; }
LRDSL_BODY double* lanes_of(Shared& shared, double) { return shared.lanes64; }

LRDSL_BODY int64_t elements_of(const Tables& t, const Chunk& chunk) {
  const int64_t left = t.rows[chunk.row].n - chunk.start;
  return t.length < left ? t.length : left;
}

// ---- formats
// ---------------------------------------------------------------------------------------------------------

// What a row is made of, as one bit. A kernel is made for some formats, with AMSGRADS or without: the one for
// EVERYTHING runs whatever there is, in one launch, but one for a single format needs fewer registers. A launcher picks
// a kernel made for all that its rows and groups have.
constexpr LRDSL_HD int format_of(int32_t dtype, bool master, bool grad_float32) {
  const int variant = (master ? 2 : 0) + (grad_float32 ? 1 : 0);
  return dtype == FLOAT32 ? 1 : dtype == FLOAT64 ? 2 : (dtype == BFLOAT16 ? 4 : 64) << variant;
}
constexpr int AMSGRADS = 1024, EVERYTHING = 2047;

LRDSL_HD int format_of(const TensorRow& row) {
  return format_of(row.dtype, row.master != 0, (row.flags & GRAD_FLOAT32) != 0);
}

constexpr LRDSL_HD int32_t dtype_of(float) { return FLOAT32; }
constexpr LRDSL_HD int32_t dtype_of(double) { return FLOAT64; }
constexpr LRDSL_HD int32_t dtype_of(Bfloat16) { return BFLOAT16; }
constexpr LRDSL_HD int32_t dtype_of(Float16) { return FLOAT16; }

// ---- memory
// ----------------------------------------------------------------------------------------------------------

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

  LRDSL_BODY Streams(const TensorRow& row, int64_t start)
      : p(pointer<P>(row.p) + start), g(pointer<G>(row.g) + start), master(pointer<T>(row.master) + start) {
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

// What one thread does to its part of a chunk.
template <class P, class G, bool MASTER, int STATES, class Update>
LRDSL_BODY void apply(const Control& control, const TensorRow& row, int64_t start, int n, int thread,
                      const Update& update) {
  using T = Opmath<P>;
  const Streams<P, G, MASTER, STATES> streams(row, start);
  const Preparation<T> prepare(control);
  const bool zero = (control.flags & ZERO) != 0;
  const int whole = streams.aligned() ? n / WIDTH<T> * WIDTH<T> : 0;
  sweep<WIDTH<T>>(streams, 0, whole, thread, update, prepare, zero);
  if (whole < n) sweep<1>(streams, whole, n, thread, update, prepare, zero);
}

// ---- rules
// -----------------------------------------------------------------------------------------------------------

struct SgdRule {
  static LRDSL_BODY Bias bias(const Hyper&, const TensorRow& row) { return {{}, (row.flags & STARTED) != 0}; }

  template <int FORMATS, class P, class G, bool MASTER>
  static LRDSL_BODY void run(const Control& control, const Hyper& hyper, const Bias& bias, const TensorRow& row,
                             int64_t start, int n, int thread) {
    using T = Opmath<P>;
    const Sgd<T> rule(hyper, bias.started);
    if (hyper.momentum == 0.0) {
      apply<P, G, MASTER, 0>(control, row, start, n, thread, [rule](T& p, T g, T*) { rule.plain(p, g); });
    } else {
      apply<P, G, MASTER, 1>(control, row, start, n, thread,
                             [rule](T& p, T g, T* state) { rule.with_momentum(p, g, state[0]); });
    }
  }
};

struct AdamRule {
  static LRDSL_BODY Bias bias(const Hyper& hyper, const TensorRow& row) {
    return {adam_factors(hyper, row.step), (row.flags & STARTED) != 0};
  }

  template <int FORMATS, class P, class G, bool MASTER>
  static LRDSL_BODY void run(const Control& control, const Hyper& hyper, const Bias& bias, const TensorRow& row,
                             int64_t start, int n, int thread) {
    using T = Opmath<P>;
    const Adam<T> rule(bias.factors);
    if constexpr ((FORMATS & AMSGRADS) != 0) {
      if ((hyper.flags & AMSGRAD) != 0)
        return apply<P, G, MASTER, 3>(control, row, start, n, thread, [rule](T& p, T g, T* state) {
          rule.amsgrad(p, g, state[0], state[1], state[2]);
        });
    }
    apply<P, G, MASTER, 2>(control, row, start, n, thread,
                           [rule](T& p, T g, T* state) { rule.plain(p, g, state[0], state[1]); });
  }
};

// If the row has the format <P, G, MASTER>, and the kernel is made for it.
template <class Rule, int FORMATS, class P, class G, bool MASTER>
LRDSL_BODY void run_if(int format, const Control& control, const Hyper& hyper, const Bias& bias, const TensorRow& row,
                       int64_t start, int n, int thread) {
  constexpr int own = format_of(dtype_of(P()), MASTER, sizeof(G) > sizeof(P));
  if constexpr ((FORMATS & own) != 0) {
    if (format == own) Rule::template run<FORMATS, P, G, MASTER>(control, hyper, bias, row, start, n, thread);
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
  const TensorRow& row = t.rows[chunk.row];
  run<Rule, FORMATS>(format_of(row), *t.control, hyper, bias, row, chunk.start, static_cast<int>(elements_of(t, chunk)),
                     thread);
}

// What one thread leaves of its part of the gradients of a step that is skipped.
LRDSL_BODY void clear_chunk(const Tables& t, const Chunk& chunk, int thread) {
  const TensorRow& row = t.rows[chunk.row];
  const int64_t size = bytes_of(grad_dtype(row)), bytes = elements_of(t, chunk) * size;
  char* const g = pointer<char>(row.g) + chunk.start * size;
  // Two bytes are the smallest element.
  for (int64_t at = 2 * thread; at < bytes; at += 2 * THREADS) *reinterpret_cast<uint16_t*>(g + at) = 0;
}

// ---- the schedule
// ----------------------------------------------------------------------------------------------------

LRDSL_BODY const Program& program_of(const Target& target) { return *pointer<const Program>(target.program); }

// Lets new reports change the slots.
static LRDSL_ASIDE void take_reports_of(const Tables& t, int64_t index) {
  const Target& target = t.targets[index];
  for (int64_t k = 0; k < t.n_listeners; ++k) {
    const Listener& listener = t.listeners[k];
    if (listener.target != index) continue;
    const Mailbox& mailbox = t.mailboxes[listener.mailbox];
    if (mailbox.sequence == mailbox.taken) continue;
    observe(program_of(target), listener.metric, mailbox.value, t.state->clock - target.origin,
            pointer<double>(target.slots));
  }
}

// Puts the target's value for update `clock` into a Hyper; false, and the old one stays, if it cannot be used.
static LRDSL_ASIDE bool put(const Target& target, int64_t clock, Hyper& into) {
  constexpr int BETA1 = 2, BETA2 = 3;
  static_assert(offsetof(Hyper, beta1) == BETA1 * sizeof(double) && offsetof(Hyper, beta2) == BETA2 * sizeof(double));
  const double value = evaluate(program_of(target), clock - target.origin, pointer<const double>(target.slots));
  const double limit = target.field == BETA1 || target.field == BETA2 ? 1.0 : INFINITE;
  const bool usable = 0.0 <= value && value < limit;
  if (usable) (&into.lr)[target.field] = value;
  return usable;
}

template <class Rule>
static LRDSL_ASIDE Bias bias_of(const Hyper& hyper, const TensorRow& row) {
  return Rule::bias(hyper, row);
}

// Everything that a step changes beside the tensors, by one block.
template <class Rule, class Grid>
static LRDSL_ASIDE void commit(const Grid& grid, const Tables& t) {
  if (skips(*t.control)) {
    grid.one_thread([&] { ++t.control->skipped; });
    return;
  }
  const int64_t clock = t.state->clock;
  grid.each_thread([&](int thread) {
    for (int64_t i = thread; i < t.n_targets; i += THREADS) {
      Target& target = t.targets[i];
      if (!put(target, clock, t.hypers[target.group]) && target.fault < 0) target.fault = clock;
    }
  });
  grid.each_thread([&](int thread) {
    for (int64_t i = thread; i < t.n_rows; i += THREADS) {
      TensorRow& row = t.rows[i];
      if (row.g == 0) continue;
      if (t.biases != nullptr) t.biases[i] = bias_of<Rule>(t.hypers[row.group], row);
      count(row);
    }
  });
  grid.one_thread([&] { t.state->clock = clock + 1; });
}

// ---- kernels
// ---------------------------------------------------------------------------------------------------------

// One block. Alone where a step is one launch otherwise, and before anything else of the step.
template <class Grid>
LRDSL_BODY void take_reports(const Grid& grid, const Tables& t) {
  grid.each_thread([&](int thread) {
    for (int64_t i = thread; i < t.n_targets; i += THREADS) take_reports_of(t, i);
  });
  grid.each_thread([&](int thread) {
    for (int64_t i = thread; i < t.n_mailboxes; i += THREADS) t.mailboxes[i].taken = t.mailboxes[i].sequence;
  });
}

// One block.
template <class Rule, class Grid>
LRDSL_BODY void advance(const Grid& grid, const Tables& t) {
  take_reports(grid, t);
  commit<Rule>(grid, t);
}

// After advance.
template <class Rule, int FORMATS, class Grid>
LRDSL_BODY void update(const Grid& grid, const Tables& t) {
  const bool skip = skips(*t.control), zero = (t.control->flags & ZERO) != 0;
  if (skip && !zero) return;
  grid.each_thread([&](int thread) {
    for (int64_t c = grid.block(); c < t.n_chunks; c += grid.blocks()) {
      const Chunk chunk = t.chunks[c];
      if (skip) {
        clear_chunk(t, chunk, thread);
      } else {
        update_chunk<Rule, FORMATS>(t, chunk, t.hypers[t.rows[chunk.row].group], t.biases[chunk.row], thread);
      }
    }
  });
}

// The step in one launch.
template <class Rule, int FORMATS, class Grid>
LRDSL_BODY void update_at_once(const Grid& grid, const Tables& t, Shared& shared) {
  const bool skip = skips(*t.control), zero = (t.control->flags & ZERO) != 0;
  const int64_t clock = t.state->clock;
  int32_t known_row = -1, known_group = -1;
  for (int64_t c = grid.block(); c < t.n_chunks; c += grid.blocks()) {
    const Chunk chunk = t.chunks[c];
    if (skip) {
      if (zero) grid.each_thread([&](int thread) { clear_chunk(t, chunk, thread); });
      continue;
    }
    const TensorRow& row = t.rows[chunk.row];
    if (row.group != known_group) {
      grid.one_thread([&] { shared.hyper = t.hypers[row.group]; });
      grid.each_thread([&](int thread) {
        for (int64_t i = thread; i < t.n_targets; i += THREADS)
          if (t.targets[i].group == row.group) put(t.targets[i], clock, shared.hyper);
      });
      known_group = row.group;
    }
    if (chunk.row != known_row) {
      grid.one_thread([&] { shared.bias = bias_of<Rule>(shared.hyper, row); });
      known_row = chunk.row;
    }
    grid.each_thread([&](int thread) { update_chunk<Rule, FORMATS>(t, chunk, shared.hyper, shared.bias, thread); });
  }
  if (!grid.last(&t.state->ticket)) return;
  commit<Rule>(grid, t);
  grid.one_thread([&] { t.state->ticket = 0; });
}

template <class Grid, class T>
LRDSL_BODY void halve(const Grid& grid, T* lanes) {
  for (int width = LANES / 2; width >= 1; width /= 2) {
    grid.each_thread([&](int lane) {
      if (lane < width) lanes[lane] = halved(lanes, lane, width);
    });
  }
}

template <class Grid, class G>
LRDSL_BODY void measure(const Grid& grid, Shared& shared, const G* g, int64_t n, double* partial) {
  using T = Opmath<G>;
  T* const lanes = lanes_of(shared, T());
  for (int64_t begin = 0; begin < n; begin += NORM_CHUNK, g += NORM_CHUNK, ++partial) {
    const int count = static_cast<int>(NORM_CHUNK < n - begin ? NORM_CHUNK : n - begin);
    grid.each_thread([&](int lane) {
      T sum = 0;
      for (int i = lane; i < count; i += LANES) tally(sum, load(g[i]));
      lanes[lane] = sum;
    });
    halve(grid, lanes);
    grid.one_thread([&] { *partial = static_cast<double>(lanes[0]); });
  }
}

// The norm of all gradients. Its last block goes on and advances, if an update is to follow.
template <class Rule, class Grid>
LRDSL_BODY void norm(const Grid& grid, const Tables& t, Shared& shared, bool advances) {
  for (int64_t c = grid.block(); c < t.n_chunks; c += grid.blocks()) {
    const Chunk chunk = t.chunks[c];
    const TensorRow& row = t.rows[chunk.row];
    const int64_t n = elements_of(t, chunk);
    double* const partial = t.partials + chunk.partial;
    switch (grad_dtype(row)) {
      case FLOAT64:
        measure(grid, shared, pointer<const double>(row.g) + chunk.start, n, partial);
        break;
      case BFLOAT16:
        measure(grid, shared, pointer<const Bfloat16>(row.g) + chunk.start, n, partial);
        break;
      case FLOAT16:
        measure(grid, shared, pointer<const Float16>(row.g) + chunk.start, n, partial);
        break;
      default:
        measure(grid, shared, pointer<const float>(row.g) + chunk.start, n, partial);
    }
  }
  if (!grid.last(&t.state->norm_ticket)) return;
  grid.each_thread([&](int lane) {
    double sum = 0.0;
    for (int64_t k = lane; k < t.n_partials; k += LANES) sum = sum + t.partials[k];
    shared.lanes64[lane] = sum;
  });
  halve(grid, shared.lanes64);
  grid.one_thread([&] {
    t.control->norm = norm_of(shared.lanes64[0], *t.control);
    t.state->norm_ticket = 0;
  });
  if (advances) advance<Rule>(grid, t);
}

}  // namespace lrdsl
