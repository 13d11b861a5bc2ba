// lrdsl._C_cuda: integers in, C++ exceptions out, as in bindings.cpp; here for what needs the CUDA runtime.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <sstream>

#include "bindings_device.h"
#include "cuda_device.h"
#include "cuda_probe.h"

namespace py = pybind11;

namespace lrdsl {
namespace {

// sm_80: code for that device; compute_80: code that a driver translates for newer ones.
py::tuple architectures() {
  std::istringstream words(LRDSL_CUDA_CODE);
  py::list names;
  for (std::string word; words >> word;) names.append(word);
  return py::tuple(names);
}

}  // namespace
}  // namespace lrdsl

namespace {

void bind_probe(py::module_& m) {
  using Release = py::call_guard<py::gil_scoped_release>;  // the first call may have to wait for a driver

  m.def("driver_version", &lrdsl::driver_version, Release(), "Newest CUDA that the driver serves; 0 without one.");
  m.def("runtime_version", &lrdsl::runtime_version, "The CUDA that this module was built with: 13020 is 13.2.");
  m.def("architectures", &lrdsl::architectures, "What there is code for: sm_NN, and compute_NN for newer ones.");
  m.def("device_count", &lrdsl::device_count, Release(), "How many devices there are, and the raw error code.");
  m.def("capability", &lrdsl::capability, py::arg("index"), Release(), "(9, 0) is sm_90.");
  m.def("device_name", &lrdsl::device_name, py::arg("index"), Release(), "What the device is called.");
  m.def("preload", &lrdsl::preload, py::arg("index"), Release(), "Load a kernel on a device; the raw error code.");
  m.def("error_text", &lrdsl::error_text, py::arg("code"), "Name and description of an error code.");
}

}  // namespace

PYBIND11_MODULE(_C_cuda, m) {
  m.doc() = "The native part of lrdsl on NVIDIA devices.";

  bind_probe(m);
  lrdsl::bind_device<lrdsl::CudaDevice>(m, "Device", "One CUDA device. Addresses and streams are numbers.")
      .def(py::init<int>(), py::arg("index"));
}
