// The table of chunks, made on the host.
#pragma once

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "device_tables.h"
#include "norm.h"

namespace lrdsl {

constexpr int64_t LONGEST_CHUNK = 16 * NORM_CHUNK;

// A power of two times NORM_CHUNK, so that there are `wanted` chunks if the elements suffice: short chunks keep many
// blocks busy, long ones cost less for each element.
inline int64_t chunk_length(const TensorRow* rows, const Gradient* gradients, int64_t n_rows, int64_t wanted) {
  for (int64_t length = LONGEST_CHUNK;; length /= 2) {
    int64_t chunks = 0;
    for (int64_t i = 0; i < n_rows; ++i)
      if (gradients[i].place != 0) chunks += rows[i].n / length + (rows[i].n % length != 0);
    if (chunks >= wanted || length == NORM_CHUNK) return length;
  }
}

struct ChunkTable {
  std::vector<Chunk> chunks;
  int64_t length;
  int64_t partials = 0;

  ChunkTable(const TensorRow* rows, const Gradient* gradients, int64_t n_rows, int64_t wanted)
      : length(chunk_length(rows, gradients, n_rows, wanted)) {
    if (n_rows > std::numeric_limits<int32_t>::max()) throw std::length_error("too many tensor rows");
    for (int64_t i = 0; i < n_rows; ++i) {
      if (gradients[i].place == 0) continue;
      for (int64_t start = 0; start < rows[i].n; start += length)
        chunks.push_back({start, static_cast<int32_t>(i), static_cast<uint32_t>(partials + start / NORM_CHUNK)});
      partials += norm_chunks(rows[i]);
      if (partials > std::numeric_limits<uint32_t>::max()) throw std::length_error("too many elements");
    }
  }
};

}  // namespace lrdsl
