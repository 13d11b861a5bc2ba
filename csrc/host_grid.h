// The Grid of kernel_body.h on the host, for tests: its blocks run one after the other in any order, or on threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "kernel_body.h"

namespace lrdsl {

class HostGrid {
 public:
  HostGrid(int64_t block, int64_t blocks) : block_(block), blocks_(blocks) {}

  int64_t block() const { return block_; }
  int64_t blocks() const { return blocks_; }

  template <class Use>
  void each_thread(const Use& use) const {
    for (int thread = 0; thread < THREADS; ++thread) use(thread);
  }

  template <class Use>
  void one_thread(const Use& use) const {
    use();
  }

  void show() const {}  // to whom? The host looks when the launch is over

  bool last(uint32_t* ticket) const { return __atomic_fetch_add(ticket, 1u, __ATOMIC_ACQ_REL) == blocks_ - 1; }

 private:
  int64_t block_, blocks_;
};

// How a grid is run.
struct Launch {
  int64_t blocks;
  uint64_t seed;  // of the order in which blocks start; 0: as they are numbered
  int threads;    // that blocks are dealt to; 1: the caller's

  // body(grid, shared) for every block.
  template <class Body>
  void operator()(const Body& body) const {
    std::vector<int64_t> order(static_cast<size_t>(blocks));
    std::iota(order.begin(), order.end(), 0);
    if (seed != 0) std::shuffle(order.begin(), order.end(), std::mt19937_64(seed));
    std::atomic<size_t> next{0};
    const auto work = [&] {
      for (size_t at; (at = next.fetch_add(1, std::memory_order_relaxed)) < order.size();) {
        Shared shared;
        body(HostGrid(order[at], blocks), shared);
      }
    };
    std::vector<std::thread> others;
    for (int thread = 1; thread < threads; ++thread) others.emplace_back(work);
    work();
    for (std::thread& other : others) other.join();
  }
};

}  // namespace lrdsl
