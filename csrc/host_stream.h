// A stream of the host's: every launch runs at once, on a grid of the host's.
#pragma once

#include "host_grid.h"
#include "launches.h"

namespace lrdsl {

struct HostStream {
  Launch launch;

  // One method for each kernel, made for SgdRule and AdamRule; all formats are in one.
  template <class Rule>
  void norm(const Tables& t, bool advances) const;
  template <class Rule>
  void advance(const Tables& t) const;
  template <class Rule>
  void update(const Tables& t, int formats, bool early) const;
  template <class Rule>
  void update_at_once(const Tables& t, int formats) const;
  void report(const Tables& t, int64_t metric, double value) const;
  void schedule(const Tables& t, bool advances) const;
};

}  // namespace lrdsl
