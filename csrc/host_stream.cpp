#include "host_stream.h"

namespace lrdsl {
namespace {

template <class Body>
void one_block(const Body& body) {
  Launch{1, 0, 1}(body);
}

}  // namespace

template <class Rule>
void HostStream::norm(const Tables& t, bool advances) const {
  launch([&](const HostGrid& grid, Shared& shared) { lrdsl::norm<Rule>(grid, t, shared, advances); });
}

template <class Rule>
void HostStream::advance(const Tables& t) const {
  one_block([&](const HostGrid& grid, Shared&) { lrdsl::advance<Rule>(grid, t); });
}

template <class Rule>
void HostStream::update(const Tables& t, int, bool) const {
  launch([&](const HostGrid& grid, Shared&) { lrdsl::update<Rule, EVERYTHING>(grid, t); });
}

template <class Rule>
void HostStream::update_at_once(const Tables& t, int) const {
  launch([&](const HostGrid& grid, Shared& shared) { lrdsl::update_at_once<Rule, EVERYTHING>(grid, t, shared); });
}

void HostStream::report(const Tables& t, int64_t metric, double value) const {
  one_block([&](const HostGrid& grid, Shared&) { lrdsl::report(grid, t, metric, value); });
}

void HostStream::schedule(const Tables& t, bool advances) const {
  one_block([&](const HostGrid& grid, Shared&) { lrdsl::schedule(grid, t, advances); });
}

#define LRDSL_MADE_FOR(Rule)                                              \
  template void HostStream::norm<Rule>(const Tables&, bool) const;        \
  template void HostStream::advance<Rule>(const Tables&) const;           \
  template void HostStream::update<Rule>(const Tables&, int, bool) const; \
  template void HostStream::update_at_once<Rule>(const Tables&, int) const;
LRDSL_MADE_FOR(SgdRule)
LRDSL_MADE_FOR(AdamRule)
#undef LRDSL_MADE_FOR

}  // namespace lrdsl
