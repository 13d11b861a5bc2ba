// Damages packed Programs at random. What the verifier refuses must not have been read beyond its end; what it lets
// through must run: under -fsanitize=address,undefined neither may do anything wrong.
//
//   verifier_fuzz ROUNDS PACK...    prints how many were accepted and how many refused
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "evaluate.h"

using Words = std::vector<int64_t>;

static std::mt19937_64 generator(1);

static int64_t below(int64_t count) { return static_cast<int64_t>(generator() % static_cast<uint64_t>(count)); }

static Words read(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  Words words(bytes.size() / 8);
  std::memcpy(words.data(), bytes.data(), words.size() * 8);
  return words;
}

// Another instruction that takes as many numbers from the stack.
static int64_t alike(int64_t operation) {
  const int arity = lrdsl::arity_of(static_cast<int>(operation & 0xff));
  int64_t other = operation;
  do other = below(lrdsl::OPERATIONS);
  while (arity >= 0 && lrdsl::arity_of(static_cast<int>(other)) != arity);
  return other;
}

// One to four words changed, the header and the first tables more often than the rest: to small numbers, instructions,
// neighbours, other bits, the place of another word, or anything.
static void damage(Words& words) {
  if (below(10) == 0) words.resize(static_cast<size_t>(below(static_cast<int64_t>(words.size()) + 4)));
  if (words.empty()) return;
  const int64_t size = static_cast<int64_t>(words.size());
  for (int64_t changes = 1 + below(1 + below(4)); changes > 0; --changes) {
    const auto at = [&] { return static_cast<size_t>(below(below(3) ? size : std::min<int64_t>(size, 40))); };
    int64_t& word = words[at()];
    const uint64_t bits = static_cast<uint64_t>(word);
    switch (below(8)) {
      case 0:
        word = static_cast<int64_t>(generator());
        break;
      case 1:
        word = below(300) - 2;
        break;
      case 2:
        word = static_cast<int64_t>(bits ^ uint64_t{1} << below(64));
        break;
      case 3:
        word = below(lrdsl::OPERATIONS + 2) + (below(70) - 2) * 256;
        break;
      case 4:
        word = static_cast<int64_t>(bits + static_cast<uint64_t>(below(5)) - 2);
        break;
      case 5:
        std::swap(word, words[at()]);
        break;
      default:
        word = static_cast<int64_t>(bits & ~uint64_t{0xff}) | alike(word);
    }
  }
}

static int64_t any_step() { return below(8) == 0 ? INT64_MAX : static_cast<int64_t>(generator() >> (1 + below(63))); }

static double any_report() {
  const uint64_t bits = generator();
  double report;
  std::memcpy(&report, &bits, sizeof report);
  return below(2) ? report : static_cast<double>(below(10));
}

static void run(const lrdsl::Program& program) {
  // Exactly as long as the Program says, so that one slot too far is seen.
  const std::unique_ptr<double[]> state(new double[static_cast<size_t>(program.state)]);
  for (int64_t i = 0; i < program.state; ++i) state[static_cast<size_t>(i)] = program.first_state()[i];
  constexpr int64_t COUNT = 20;
  int64_t steps[COUNT];
  double out[COUNT];
  for (int64_t i = 0; i < COUNT; ++i) steps[i] = i < 12 ? i + 3 : any_step();  // a run of lanes, then single ones
  lrdsl::evaluate_many(program, steps, COUNT, state.get(), out);
  for (int64_t i = 0; i < 5; ++i)
    lrdsl::observe(program, below(3), any_report(), steps[3 * i], below(2) != 0, state.get());
  for (const int64_t step : {int64_t{0}, any_step(), int64_t{INT64_MAX}}) {
    volatile double value = lrdsl::evaluate(program, step, state.get());
    static_cast<void>(value);
  }
}

int main(int count, char** arguments) {
  std::vector<Words> packs;
  for (int i = 2; i < count; ++i) {
    packs.push_back(read(arguments[i]));
    const lrdsl::Program& program = *reinterpret_cast<const lrdsl::Program*>(packs.back().data());
    if (const char* fault = lrdsl::fault_in(program, packs.back().size() * 8)) {
      std::fprintf(stderr, "%s: %s\n", arguments[i], fault);
      return 2;
    }
    run(program);
  }
  if (packs.empty()) return 2;
  int64_t accepted = 0, refused = 0;
  for (long round = std::atol(arguments[1]); round > 0; --round) {
    Words words = packs[static_cast<size_t>(below(static_cast<int64_t>(packs.size())))];
    damage(words);
    const size_t bytes = words.size() * 8 - static_cast<size_t>(words.empty() || below(50) ? 0 : 1 + below(7));
    // Exactly as long as it says, so that one byte too far is seen.
    const std::unique_ptr<char[]> copy(new char[bytes]);
    std::memcpy(copy.get(), words.data(), bytes);
    const lrdsl::Program& program = *reinterpret_cast<const lrdsl::Program*>(copy.get());
    if (lrdsl::fault_in(program, bytes) == nullptr) {
      ++accepted;
      run(program);
    } else {
      ++refused;
    }
  }
  std::printf("%ld %ld\n", static_cast<long>(accepted), static_cast<long>(refused));
}
