// How the elements of a tensor of torch's are reached: what a walk compares from step to step, and how it calls for the
// memory that it will look at next.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "torch_abi.h"

namespace lrdsl {

// How the elements of a plain tensor are reached, and what they are.
struct Place {
  const void* implementation = nullptr;
  void* data = nullptr;
  uint64_t keys = 0;
  int32_t dtype = 0;
  std::vector<int64_t> dims;  // sizes, then strides

  // False if `tensor` has other dispatch keys than a plain one where it should be. Such a one is not even asked: some
  // answer in Python.
  bool read(Handle tensor, uint64_t plain_keys) {
    int64_t dim = 0;
    const int64_t *sizes = nullptr, *strides = nullptr;
    implementation = TorchAbi::implementation(tensor);
    keys = plain_keys;
    if (torch.keys_of(tensor) != keys || torch.dtype(tensor, &dtype) != 0 || torch.dim(tensor, &dim) != 0) return false;
    if (torch.sizes(tensor, &sizes) != 0 || torch.strides(tensor, &strides) != 0) return false;
    if (torch.data(tensor, &data) != 0) return false;
    dims.assign(sizes, sizes + dim);
    dims.insert(dims.end(), strides, strides + dim);
    return true;
  }

  // Whether another tensor is reached in the same way; its address, which may differ, goes to `now`.
  bool fits(Handle tensor, void** now) const {
    return torch.keys_of(tensor) == keys && same_elements(tensor) && torch.data(tensor, now) == 0;
  }

  // Whether this tensor has not changed.
  bool same(Handle tensor) const {
    void* now = nullptr;
    return TorchAbi::implementation(tensor) == implementation && fits(tensor, &now) && now == data;
  }

 private:
  bool same_elements(Handle tensor) const {
    int32_t type = 0;
    int64_t dim = 0;
    const int64_t *sizes = nullptr, *strides = nullptr;
    if (torch.dtype(tensor, &type) != 0 || type != dtype || torch.dim(tensor, &dim) != 0) return false;
    if (static_cast<size_t>(2 * dim) != dims.size()) return false;
    if (torch.sizes(tensor, &sizes) != 0 || torch.strides(tensor, &strides) != 0) return false;
    return std::equal(sizes, sizes + dim, dims.begin()) && std::equal(strides, strides + dim, dims.begin() + dim);
  }
};

// A walk waits for memory more than it computes. So it calls for what it will need a few tensors later, link by link:
// Python's object, torch's behind it, and what the first members of that point to, storage and gradient.
constexpr size_t AHEAD = 4;

inline void call_for_tensor(const void* implementation) {
  const char* const lines = static_cast<const char*>(implementation);
  for (int line = 0; line < 4; ++line) __builtin_prefetch(lines + 64 * line);
}

inline void call_for_members(const void* implementation) {
  const void* const* const words = static_cast<const void* const*>(implementation);
  __builtin_prefetch(words[2]);
  __builtin_prefetch(words[3]);
}

inline void call_for_version(const void* implementation) {
  __builtin_prefetch(static_cast<const void* const*>(implementation)[5], 1);
}

inline const void* behind(const void* tensor) { return TorchAbi::implementation(torch.of(tensor)); }

template <class Tensors>
void call_for_tensors(const Tensors& tensors, size_t at) {
  if (at + 5 * AHEAD < tensors.size()) __builtin_prefetch(tensors[at + 5 * AHEAD]);
  if (at + 4 * AHEAD < tensors.size()) call_for_tensor(behind(tensors[at + 4 * AHEAD]));
  if (at + 3 * AHEAD < tensors.size()) call_for_members(behind(tensors[at + 3 * AHEAD]));
}

template <class Tensors>
void call_for_gradients(const Tensors& tensors, size_t at) {
  const auto gradient = [&](size_t index) { return TorchAbi::implementation(torch.gradient(behind(tensors[index]))); };
  if (at + 2 * AHEAD < tensors.size()) call_for_tensor(gradient(at + 2 * AHEAD));
  if (at + AHEAD < tensors.size()) call_for_members(gradient(at + AHEAD));
}

}  // namespace lrdsl
