// The launches of a step, in the order in which a device's stream would run them.
#include "emulate.h"

#include <algorithm>
#include <cstddef>

namespace lrdsl {

Emulation::Emulation(Rule rule, Variant variant, TensorRow* rows, int64_t n_rows, Hyper* hypers, Control& control,
                     int64_t wanted)
    : rule_(rule),
      variant_(variant),
      rows_(rows),
      n_rows_(n_rows),
      hypers_(hypers),
      control_(control),
      length_(chunk_length(rows, n_rows, wanted)),
      table_(rows, n_rows, length_),
      biases_(static_cast<size_t>(variant == Variant::ADVANCE ? n_rows : 0)),
      partials_(static_cast<size_t>(table_.partials)) {}

Tables Emulation::tables() {
  const auto size = [](const auto& table) { return static_cast<int64_t>(table.size()); };
  Tables t{};
  t.rows = rows_;
  t.hypers = hypers_;
  t.control = &control_;
  t.state = &state;
  t.biases = biases_.empty() ? nullptr : biases_.data();
  t.chunks = table_.chunks.data();
  t.partials = partials_.data();
  t.targets = targets.data();
  t.mailboxes = mailboxes.data();
  t.listeners = listeners.data();
  t.n_rows = n_rows_;
  t.n_chunks = size(table_.chunks);
  t.n_partials = size(partials_);
  t.n_targets = size(targets);
  t.n_mailboxes = size(mailboxes);
  t.n_listeners = size(listeners);
  t.length = length_;
  return t;
}

template <class Rules>
void Emulation::run(const Tables& t, const Launch& launch) const {
  const Launch one_block{1, 0, 1};
  const bool measures = (control_.flags & MEASURE) != 0;
  if (variant_ == Variant::ADVANCE) {
    if (measures) {
      launch([&](const HostGrid& grid, Shared& shared) { norm<Rules>(grid, t, shared, true); });
    } else {
      one_block([&](const HostGrid& grid, Shared&) { advance<Rules>(grid, t); });
    }
    launch([&](const HostGrid& grid, Shared&) { update<Rules, EVERYTHING>(grid, t); });
  } else {
    if (measures) launch([&](const HostGrid& grid, Shared& shared) { norm<Rules>(grid, t, shared, false); });
    if (t.n_listeners > 0) one_block([&](const HostGrid& grid, Shared&) { take_reports(grid, t); });
    launch([&](const HostGrid& grid, Shared& shared) { update_at_once<Rules, EVERYTHING>(grid, t, shared); });
  }
}

bool Emulation::replay(const Launch& launch) {
  const int64_t skipped = control_.skipped;
  const Tables t = tables();
  rule_ == Rule::SGD ? run<SgdRule>(t, launch) : run<AdamRule>(t, launch);
  return control_.skipped == skipped;
}

void Emulation::keep_last(size_t count) {
  std::vector<Chunk>& chunks = table_.chunks;
  chunks.erase(chunks.begin(), chunks.end() - static_cast<std::ptrdiff_t>(std::min(count, chunks.size())));
}

void Emulation::measure(const Launch& launch) {
  const Tables t = tables();
  launch([&](const HostGrid& grid, Shared& shared) { norm<SgdRule>(grid, t, shared, false); });
}

}  // namespace lrdsl
