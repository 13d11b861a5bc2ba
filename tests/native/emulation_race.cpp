// Runs the device's kernels on real threads, in many orders, under -fsanitize=thread: no block may read what another
// block of its grid writes, unless a ticket stands between. Every step must leave what one block alone leaves.
//
//   emulation_race STEPS PACK...    prints how many steps were applied and how many skipped
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <vector>

#include "emulate.h"

namespace {

constexpr int64_t SIZES[] = {3, 0, 1, 40}, LONG = lrdsl::NORM_CHUNK + 1;
constexpr size_t ROWS = sizeof(SIZES) / sizeof(*SIZES), GROUPS = 2;

using Words = std::vector<int64_t>;

Words read(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  Words words(bytes.size() / 8);
  std::memcpy(words.data(), bytes.data(), words.size() * 8);
  return words;
}

template <class T>
uint64_t address(const T* at) {
  return reinterpret_cast<uintptr_t>(at);
}

// An AdamW or SGD with momentum over four float32 rows in two groups, whose rates follow the Programs.
class Optimizer {
 public:
  std::vector<lrdsl::TensorRow> rows{ROWS};
  std::vector<lrdsl::Hyper> hypers{GROUPS, {0.01, 0.1, 0.9, 0.99, 1e-8, 0.9, 0.0, lrdsl::DECOUPLED}};
  lrdsl::Control control{};
  std::unique_ptr<lrdsl::Emulation> emulation;

  Optimizer(lrdsl::Rule rule, lrdsl::Variant variant, bool is_long, const std::vector<Words>& packs) {
    for (size_t i = 0; i < ROWS; ++i) {
      lrdsl::TensorRow& row = rows[i];
      row.n = is_long && SIZES[i] == 1 ? LONG : SIZES[i];
      const size_t n = static_cast<size_t>(row.n);
      for (uint64_t* const place : {&row.p, &row.g, &row.m, &row.v}) {
        tensors_.push_back(std::vector<float>(n + 1, 0.5f));
        *place = address(tensors_.back().data());
      }
      row.group = static_cast<int32_t>(i % GROUPS);
    }
    control.max_norm = 1.0;
    control.found_inf = address(&found_inf_);
    emulation =
        std::make_unique<lrdsl::Emulation>(rule, variant, rows.data(), ROWS, hypers.data(), GROUPS, control, INT64_MAX);
    for (const Words& words : packs) {
      const auto& program = *reinterpret_cast<const lrdsl::Program*>(words.data());
      slots_.emplace_back(program.first_state(), program.first_state() + program.state);
      const auto index = static_cast<int32_t>(emulation->targets.size());
      emulation->targets.push_back({address(words.data()), address(slots_.back().data()), 0, 0, -1,
                                    index % static_cast<int32_t>(GROUPS), 0, 0, 0});
      emulation->listeners.push_back({index, 0, 0, 0});
    }
  }

  void step(uint64_t seed, const lrdsl::Launch& launch) {
    std::mt19937_64 generator(seed);
    for (size_t i = 0; i < ROWS; ++i)
      for (float& g : tensors_[4 * i + 1]) g = static_cast<float>(generator() % 1000) * 1e-3f;
    found_inf_ = generator() % 5 == 0 ? 1.0f : 0.0f;
    control.flags = static_cast<int64_t>(generator() % 16);
    if (generator() % 3 == 0) emulation->report(0, static_cast<double>(generator() % 100));
    emulation->replay(launch);
  }

  bool operator==(const Optimizer& other) const {
    for (size_t i = 0; i < ROWS; ++i)
      if (rows[i].step != other.rows[i].step || rows[i].flags != other.rows[i].flags) return false;
    return tensors_ == other.tensors_ && slots_ == other.slots_ && control.skipped == other.control.skipped &&
           emulation->state.clock == other.emulation->state.clock &&
           std::memcmp(hypers.data(), other.hypers.data(), GROUPS * sizeof(lrdsl::Hyper)) == 0;
  }

 private:
  std::vector<std::vector<float>> tensors_;
  std::vector<std::vector<double>> slots_;
  float found_inf_ = 0.0f;
};

}  // namespace

int main(int count, char** arguments) {
  std::vector<Words> packs;
  for (int i = 2; i < count; ++i) packs.push_back(read(arguments[i]));
  if (packs.empty()) return 2;
  constexpr int64_t EPISODE = 20, ORDERS = 10;
  const int64_t steps = std::atol(arguments[1]);
  int64_t applied = 0, skipped = 0;
  bool wrong = false;
  std::mt19937_64 generator(1);
  for (int64_t episode = 0; episode * EPISODE * ORDERS < steps; ++episode) {
    const auto rule = static_cast<lrdsl::Rule>(generator() % 2);
    const bool is_long = episode % 10 == 0;  // one row in two chunks
    const uint64_t seed = generator();
    Optimizer alone(rule, lrdsl::Variant::ADVANCE, is_long, packs);
    for (int64_t step = 0; step < EPISODE; ++step) alone.step(seed + static_cast<uint64_t>(step), {1, 0, 1});
    for (int64_t order = 0; order < ORDERS; ++order) {
      const auto variant = static_cast<lrdsl::Variant>(order % 2);
      Optimizer together(rule, variant, is_long, packs);
      for (int64_t step = 0; step < EPISODE; ++step) {
        const int64_t blocks = 1 + static_cast<int64_t>(generator() % 6);
        together.step(seed + static_cast<uint64_t>(step), {blocks, generator() | 1, generator() % 4 == 0 ? 3 : 2});
      }
      if (!(alone == together)) {
        std::fprintf(stderr, "variant %d: other numbers than one block's\n", static_cast<int>(variant));
        wrong = true;  // go on, for the sanitizer's sake
      }
      applied += together.emulation->state.clock;
      skipped += together.control.skipped;
    }
  }
  std::printf("%ld %ld\n", static_cast<long>(applied), static_cast<long>(skipped));
  return wrong ? 1 : 0;
}
