// Torch's tensors as seen by code that is not built against torch: functions of its stable C interface, two C++
// functions that it exports, where a Python tensor keeps its handle, and where a tensor keeps its dispatch keys.
// lrdsl/optim/torch_abi.py looks them up in the torch that is imported, and tries them out before anything relies on
// them.
#pragma once

#include <cstdint>

namespace lrdsl {

using Handle = const void*;  // what torch calls AtenTensorHandle: the address of an at::Tensor, which is one pointer

// result, name here, name in torch's libraries, arguments
#define LRDSL_TORCH_FUNCTIONS(X)                                           \
  X(int32_t, dtype, "aoti_torch_get_dtype", (Handle, int32_t*))            \
  X(int32_t, dim, "aoti_torch_get_dim", (Handle, int64_t*))                \
  X(int32_t, sizes, "aoti_torch_get_sizes", (Handle, const int64_t**))     \
  X(int32_t, strides, "aoti_torch_get_strides", (Handle, const int64_t**)) \
  X(int32_t, data, "aoti_torch_get_data_ptr", (Handle, void**))            \
  X(int32_t, share, "aoti_torch_new_tensor_handle", (Handle, Handle*))     \
  X(int32_t, release, "aoti_torch_delete_tensor_object", (Handle))         \
  X(Handle, gradient, "_ZNK3c1010TensorImpl4gradEv", (const void*))        \
  X(void, bump, "_ZN5torch8autograd4impl12bump_versionERKN2at6TensorE", (Handle))

struct TorchAbi {
#define LRDSL_POINTER(result, field, name, arguments) result(*field) arguments = nullptr;
  LRDSL_TORCH_FUNCTIONS(LRDSL_POINTER)
#undef LRDSL_POINTER
  int64_t offset = 0;               // of the handle in a Python tensor
  int64_t keys_offset = 0;          // of the dispatch keys in a tensor
  uint64_t plain_keys = 0;          // what they are for a dense CPU tensor: one that is sparse, on a device, negated,
                                    // made for inference, or asks Python about itself has others
  const void* undefined = nullptr;  // what the handle of a missing gradient points to

  Handle of(const void* python_tensor) const { return static_cast<const char*>(python_tensor) + offset; }
  static const void* implementation(Handle tensor) { return *static_cast<const void* const*>(tensor); }
  uint64_t keys_of(Handle tensor) const {
    return *reinterpret_cast<const uint64_t*>(static_cast<const char*>(implementation(tensor)) + keys_offset);
  }
  // Null if there is none.
  Handle gradient_of(Handle tensor) const {
    const Handle found = gradient(implementation(tensor));
    return implementation(found) == undefined ? nullptr : found;
  }
};

inline TorchAbi torch;  // of the torch that is imported

}  // namespace lrdsl
