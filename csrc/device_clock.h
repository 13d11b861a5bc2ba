// What one block does to the schedules: reports, the values of an update, the clock, and what the host sees of it.
#pragma once

#include <cstdint>

#include "chunk_update.h"
#include "device_tables.h"
#include "evaluate.h"
#include "grid.h"

namespace lrdsl {

LRDSL_BODY const Program& program_of(const Target& target) { return *pointer<const Program>(target.program); }

LRDSL_BODY double* slots_of(const Target& target) { return pointer<double>(target.slots); }

// One number of any dtype.
LRDSL_BODY double number_at(uint64_t place, int32_t dtype) {
  switch (dtype) {
    case FLOAT64:
      return *pointer<const double>(place);
    case BFLOAT16:
      return static_cast<double>(load(*pointer<const Bfloat16>(place)));
    case FLOAT16:
      return static_cast<double>(load(*pointer<const Float16>(place)));
    default:
      return static_cast<double>(*pointer<const float>(place));
  }
}

LRDSL_BODY void put_number(uint64_t place, int32_t dtype, double value) {
  switch (dtype) {
    case FLOAT64:
      *pointer<double>(place) = value;
      break;
    case BFLOAT16:
      store(*pointer<Bfloat16>(place), static_cast<float>(value));
      break;
    case FLOAT16:
      store(*pointer<Float16>(place), static_cast<float>(value));
      break;
    default:
      *pointer<float>(place) = static_cast<float>(value);
  }
}

// The target's value for update `clock`; false if it cannot be used.
static LRDSL_ASIDE bool value_of(const Target& target, int64_t clock, double* value) {
  constexpr int BETA1 = 2, BETA2 = 3;
  static_assert(offsetof(Hyper, beta1) == BETA1 * sizeof(double) && offsetof(Hyper, beta2) == BETA2 * sizeof(double));
  *value = evaluate(program_of(target), clock - target.origin, slots_of(target));
  const double limit = target.field == BETA1 || target.field == BETA2 ? 1.0 : INFINITE;
  return 0.0 <= *value && *value < limit;
}

// Puts the target's value into a Hyper; false, and the old one stays, if it cannot be used.
LRDSL_BODY bool put(const Target& target, int64_t clock, Hyper& into) {
  double value;
  const bool usable = value_of(target, clock, &value);
  if (usable) (&into.lr)[target.field] = value;
  return usable;
}

// Lets a rate that lives in the device's memory into its group, if it can be used.
LRDSL_BODY void read_rate(const Rate& rate, Hyper& into) {
  const double value = number_at(rate.place, rate.dtype);
  if (0.0 <= value && value < INFINITE) into.lr = value;
}

// Lets a report change the slots of all who listen; if the update is skipped, of those who want to hear all the same.
template <class Grid>
static LRDSL_ASIDE void take_report(const Grid& grid, const Tables& t, int64_t metric, double value, bool skipped) {
  const Plan& plan = *t.plan;
  const int64_t clock = t.state->clock;
  grid.each_thread([&](int thread) {
    for (int64_t i = thread; i < plan.n_listeners; i += THREADS) {
      const Listener& listener = plan.listeners[i];
      if (listener.metric != metric) continue;
      const Target& target = plan.targets[listener.target];
      observe(program_of(target), listener.local, value, clock - target.origin, skipped, slots_of(target));
    }
  });
}

// Tells whoever keeps a value in the device's memory what the next update will use.
template <class Grid>
static LRDSL_ASIDE void publish(const Grid& grid, const Tables& t) {
  const Plan& plan = *t.plan;
  const int64_t clock = t.state->clock;
  grid.each_thread([&](int thread) {
    for (int64_t i = thread; i < plan.n_targets; i += THREADS) {
      const Target& target = plan.targets[i];
      if (target.out == 0) continue;
      double value;
      if (value_of(target, clock, &value)) put_number(target.out, target.out_dtype, value);
    }
  });
}

template <class Rule>
static LRDSL_ASIDE Bias bias_of(const Hyper& hyper, const TensorRow& row) {
  return Rule::bias(hyper, row);
}

// Everything that a step changes beside the tensors.
template <class Rule, class Grid>
static LRDSL_ASIDE void commit(const Grid& grid, const Tables& t) {
  State& state = *t.state;
  const Plan& plan = *t.plan;
  const bool skip = skips(control_of(t));
  if (plan.grad_norm >= 0) take_report(grid, t, plan.grad_norm, state.norm, skip);
  if (skip) {
    grid.one_thread([&] {
      ++state.skipped;
      ++state.steps;
    });
    if (plan.grad_norm >= 0) publish(grid, t);
    return;
  }
  const int64_t clock = state.clock;
  grid.each_thread([&](int thread) {
    for (int64_t i = thread; i < plan.n_rates; i += THREADS) read_rate(plan.rates[i], t.hypers[plan.rates[i].group]);
    for (int64_t i = thread; i < plan.n_targets; i += THREADS) {
      Target& target = plan.targets[i];
      if (!put(target, clock, t.hypers[target.group]) && target.fault < 0) target.fault = clock;
    }
  });
  grid.each_thread([&](int thread) {
    // Rows that follow each other mostly share group and step, and then the powers: each thread has such a stretch.
    const int64_t each = (t.n_rows + THREADS - 1) / THREADS;
    const int64_t begin = thread * each, end = begin + each < t.n_rows ? begin + each : t.n_rows;
    const TensorRow* known = nullptr;
    for (int64_t i = begin; i < end; ++i) {
      TensorRow& row = t.rows[i];
      if (t.gradients[i].place == 0) continue;
      const Hyper& hyper = t.hypers[row.group];
      if (t.biases != nullptr) {
        // `known` has been counted since.
        const bool same = known != nullptr && known->group == row.group && known->step == row.step + 1;
        t.biases[i] = same ? Rule::shared(t.biases[known - t.rows], row) : bias_of<Rule>(hyper, row);
        known = &row;
      }
      count(row, hyper.momentum);
    }
  });
  grid.one_thread([&] {
    state.clock = clock + 1;
    ++state.steps;
  });
  publish(grid, t);
}

// Shows the host how things stand; after a step that was applied also with which rates.
template <class Grid>
static LRDSL_ASIDE void reflect(const Grid& grid, const Tables& t, bool applied) {
  if (t.mirror == nullptr) return;
  State& state = *t.state;
  const Plan& plan = *t.plan;
  Mirror& mirror = *t.mirror;
  const int64_t update = state.clock - 1;
  char* entry = nullptr;
  if (applied && t.history != nullptr && update >= 0)
    entry = t.history + update % HISTORY * static_cast<int64_t>(sizeof(int64_t) + sizeof(double) * t.n_groups);
  grid.one_thread([&] {
    mirror.begun = ++state.reflections;
    if (entry != nullptr) *reinterpret_cast<int64_t*>(entry) = -1;
    grid.show();
  });
  grid.each_thread([&](int thread) {
    for (int64_t i = thread; i < plan.n_slots; i += THREADS) plan.slots_out[i] = plan.slots[i];
    if (entry != nullptr)
      for (int64_t i = thread; i < t.n_groups; i += THREADS) reinterpret_cast<double*>(entry)[1 + i] = t.hypers[i].lr;
    grid.show();
  });
  grid.one_thread([&] {
    mirror.clock = state.clock;
    mirror.skipped = state.skipped;
    mirror.steps = state.steps;
    mirror.norm = state.norm;
    int64_t faults = 0;
    for (int64_t i = 0; i < plan.n_targets; ++i) faults += plan.targets[i].fault >= 0;
    mirror.faults = faults;
    if (entry != nullptr) *reinterpret_cast<int64_t*>(entry) = update;
    grid.show();
    mirror.done = state.reflections;
  });
}

}  // namespace lrdsl
