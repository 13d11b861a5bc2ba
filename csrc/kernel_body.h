// The bodies of the device's kernels: norm, advance, update, update with a ticket, and what goes without an update.
//
// Who writes what:
//   norm            partials[] of its own chunks; its last block: the norm, and all that advance writes if it advances
//   advance         one block: slots, hypers, biases, the rows' counts, clock or skipped, outs; never p, g, m, v
//   update          p, g, m, v of its own chunks; one block the mirror; it runs after advance
//   update_at_once  as update, on values computed from the old hypers, counts and clock, which nobody changes until
//                   the last block, knowing that all others are done, writes what advance writes
//   report          one block: slots, outs, mirror
//   schedule        one block: what advance writes, where there are no rows; mirror
#pragma once

#include <cstdint>

#include "chunk_update.h"
#include "device_clock.h"
#include "device_tables.h"
#include "grid.h"
#include "norm.h"

namespace lrdsl {

// Of one block.
struct Shared {
  float lanes32[LANES];
  double lanes64[LANES];
  Hyper hyper;
  Bias bias;
};

LRDSL_BODY float* lanes_of(Shared& shared, float) { return shared.lanes32; }
LRDSL_BODY double* lanes_of(Shared& shared, double) { return shared.lanes64; }

// One block, before the update of a step that needs no norm.
template <class Rule, class Grid>
LRDSL_BODY void advance(const Grid& grid, const Tables& t) {
  commit<Rule>(grid, t);
}

// After advance. Its last block only tells the host, while the others go on.
template <class Rule, int FORMATS, class Grid>
LRDSL_BODY void update(const Grid& grid, const Tables& t) {
  const bool skip = skips(control_of(t)), zero = (t.control.flags & ZERO) != 0;
  const int64_t workers = grid.blocks() == 1 ? 1 : grid.blocks() - 1;
  if (grid.block() == grid.blocks() - 1) reflect(grid, t, !skip);
  if (grid.block() >= workers || (skip && !zero)) return;
  grid.each_thread([&](int thread) {
    for (int64_t c = grid.block(); c < t.n_chunks; c += workers) {
      const Chunk chunk = t.chunks[c];
      if (skip) {
        clear_chunk(t, chunk, thread);
      } else {
        update_chunk<Rule, FORMATS>(t, chunk, t.hypers[t.rows[chunk.row].group], t.biases[chunk.row], thread);
      }
    }
  });
}

// The step in one launch. Nobody may listen to the norm of the gradients, nor be told values or tell them.
template <class Rule, int FORMATS, class Grid>
LRDSL_BODY void update_at_once(const Grid& grid, const Tables& t, Shared& shared) {
  const Plan& plan = *t.plan;
  const bool skip = skips(control_of(t)), zero = (t.control.flags & ZERO) != 0;
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
        for (int64_t i = thread; i < plan.n_targets; i += THREADS)
          if (plan.targets[i].group == row.group) put(plan.targets[i], clock, shared.hyper);
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
  reflect(grid, t, !skip);
}

// A report that waits in the device's memory. One block.
template <class Grid>
LRDSL_BODY void report(const Grid& grid, const Tables& t, int64_t metric, double value) {
  take_report(grid, t, metric, value, false);
  publish(grid, t);
  reflect(grid, t, false);
}

// The schedules alone, for whoever steps by the rates that are told; they are told anew, and before that the clock
// advances if asked to. One block.
template <class Grid>
LRDSL_BODY void schedule(const Grid& grid, const Tables& t, bool advances) {
  if (advances) {
    commit<SgdRule>(grid, t);
  } else {
    publish(grid, t);
  }
  reflect(grid, t, advances);
}

template <class Grid, class T>
LRDSL_BODY void halve(const Grid& grid, T* lanes) {
  for (int width = LANES / 2; width >= 1; width /= 2) {
    grid.each_thread([&](int lane) {
      if (lane < width) lanes[lane] = halved(lanes, lane, width);
    });
  }
}

template <class T, class G>
LRDSL_BODY T sum_of_part(const G* g, int count, int lane) {
  T sum = 0;
  for (int i = lane; i < count; i += LANES) tally(sum, load(g[i]));
  return sum;
}

// The same of NORM_CHUNK elements, with all loads under way at once.
template <class T, class G>
LRDSL_BODY T sum_of_whole(const G* g, int lane) {
  constexpr int EACH = static_cast<int>(NORM_CHUNK / LANES);
  G loaded[EACH];
  LRDSL_UNROLL
  for (int k = 0; k < EACH; ++k) loaded[k] = g[lane + k * LANES];
  T sum = 0;
  LRDSL_UNROLL
  for (int k = 0; k < EACH; ++k) tally(sum, load(loaded[k]));
  return sum;
}

template <class Grid, class G>
LRDSL_BODY void measure(const Grid& grid, Shared& shared, const G* g, int64_t n, double* partial) {
  using T = Opmath<G>;
  T* const lanes = lanes_of(shared, T());
  for (int64_t begin = 0; begin < n; begin += NORM_CHUNK, g += NORM_CHUNK, ++partial) {
    const int count = static_cast<int>(NORM_CHUNK < n - begin ? NORM_CHUNK : n - begin);
    grid.each_thread([&](int lane) {
      lanes[lane] = count == NORM_CHUNK ? sum_of_whole<T>(g, lane) : sum_of_part<T>(g, count, lane);
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
    const Gradient& gradient = t.gradients[chunk.row];
    const int64_t n = elements_of(t, chunk);
    double* const partial = t.partials + chunk.partial;
    switch (gradient.dtype) {
      case FLOAT64:
        measure(grid, shared, pointer<const double>(gradient.place) + chunk.start, n, partial);
        break;
      case BFLOAT16:
        measure(grid, shared, pointer<const Bfloat16>(gradient.place) + chunk.start, n, partial);
        break;
      case FLOAT16:
        measure(grid, shared, pointer<const Float16>(gradient.place) + chunk.start, n, partial);
        break;
      default:
        measure(grid, shared, pointer<const float>(gradient.place) + chunk.start, n, partial);
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
    t.state->norm = norm_of(shared.lanes64[0], t.control);
    t.state->norm_ticket = 0;
  });
  if (advances) advance<Rule>(grid, t);
}

}  // namespace lrdsl
