#include "emulate.h"

#include <algorithm>
#include <cstddef>

namespace lrdsl {
namespace {

std::vector<Gradient> gradients_of(const TensorRow* rows, int64_t n_rows) {
  std::vector<Gradient> gradients;
  for (int64_t i = 0; i < n_rows; ++i) gradients.push_back({rows[i].g, grad_dtype(rows[i]), 0});
  return gradients;
}

}  // namespace

Emulation::Emulation(Rule rule, Variant variant, TensorRow* rows, int64_t n_rows, Hyper* hypers, int64_t n_groups,
                     Control& control, int64_t wanted)
    : rule_(rule),
      variant_(variant),
      rows_(rows),
      n_rows_(n_rows),
      hypers_(hypers),
      n_groups_(n_groups),
      control_(control),
      gradients_(gradients_of(rows, n_rows)),
      table_(rows, gradients_.data(), n_rows, wanted),
      biases_(static_cast<size_t>(variant == Variant::ADVANCE ? n_rows : 0)),
      partials_(static_cast<size_t>(table_.partials)),
      history_(static_cast<size_t>(HISTORY * 8 * (1 + n_groups))) {
  state.norm = control.norm;
  state.skipped = control.skipped;
}

Tables Emulation::tables() {
  const auto size = [](const auto& table) { return static_cast<int64_t>(table.size()); };
  plan_.targets = targets.data();
  plan_.listeners = listeners.data();
  plan_.n_targets = size(targets);
  plan_.n_listeners = size(listeners);
  plan_.grad_norm = -1;
  Tables t{};
  t.rows = rows_;
  t.gradients = gradients_.data();
  t.chunks = table_.chunks.data();
  t.hypers = hypers_;
  t.biases = biases_.empty() ? nullptr : biases_.data();
  t.partials = partials_.data();
  t.state = &state;
  t.plan = &plan_;
  t.mirror = &mirror;
  t.history = history_.data();
  t.n_rows = n_rows_;
  t.n_groups = n_groups_;
  t.n_chunks = size(table_.chunks);
  t.n_partials = size(partials_);
  t.length = table_.length;
  t.control = control_;
  return t;
}

// A host's kernel is made for everything, with a ticket too.
template <class Rules>
void Emulation::run(const HostStream& stream, const Tables& t) const {
  if (variant_ == Variant::TICKET) {
    if ((t.control.flags & MEASURE) != 0) stream.norm<Rules>(t, false);
    stream.update_at_once<Rules>(t, EVERYTHING);
  } else {
    launch_step<Rules>(stream, variant_, EVERYTHING, t);
  }
}

bool Emulation::replay(const Launch& launch) {
  const int64_t skipped = state.skipped;
  const Tables t = tables();
  const HostStream stream{launch};
  rule_ == Rule::SGD ? run<SgdRule>(stream, t) : run<AdamRule>(stream, t);
  control_.norm = state.norm;
  control_.skipped = state.skipped;
  return state.skipped == skipped;
}

void Emulation::keep_last(size_t count) {
  std::vector<Chunk>& chunks = table_.chunks;
  chunks.erase(chunks.begin(), chunks.end() - static_cast<std::ptrdiff_t>(std::min(count, chunks.size())));
}

void Emulation::measure(const Launch& launch) {
  HostStream{launch}.norm<SgdRule>(tables(), false);
  control_.norm = state.norm;
}

void Emulation::report(int64_t metric, double value) { HostStream{{1, 0, 1}}.report(tables(), metric, value); }

}  // namespace lrdsl
