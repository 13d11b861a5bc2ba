#include <cuda_runtime.h>

#include <stdexcept>
#include <thread>

#include "cuda_probe.h"

namespace lrdsl {
namespace {

__global__ void nothing() {}

void check(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(error_text(status));
}

}  // namespace

int driver_version() {
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
}

int runtime_version() { return CUDART_VERSION; }

std::pair<int, int> device_count() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  return {status == cudaSuccess ? count : 0, status};
}

std::pair<int, int> capability(int index) {
  int major = 0, minor = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index));
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index));
  return {major, minor};
}

std::string device_name(int index) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, index));
  return properties.name;
}

int preload(int index) {
  // In a thread of its own: the current device belongs to a thread, and to put another one back would wake that up too.
  cudaError_t status = cudaSuccess;
  std::thread([&status, index] {
    status = cudaSetDevice(index);
    cudaFuncAttributes attributes;
    if (status == cudaSuccess) status = cudaFuncGetAttributes(&attributes, nothing);
  }).join();
  return status;
}

std::string error_text(int code) {
  const auto status = static_cast<cudaError_t>(code);
  return std::string(cudaGetErrorName(status)) + ": " + cudaGetErrorString(status);
}

}  // namespace lrdsl
