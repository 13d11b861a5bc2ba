// lrdsl._C: the tables of a device as Python lays them out, and the device that is none.
#include "bindings_device.h"

#include <pybind11/stl.h>

#include <cstring>
#include <tuple>
#include <vector>

#include "chunks.h"
#include "host_device.h"

namespace {

using namespace lrdsl;

template <class T>
const T* table(uintptr_t address) {
  return reinterpret_cast<const T*>(address);
}

std::tuple<size_t, int64_t, int64_t> chunk_table(uintptr_t rows, uintptr_t gradients, int64_t n_rows, int64_t wanted,
                                                 uintptr_t out, size_t capacity) {
  const ChunkTable made(table<TensorRow>(rows), table<Gradient>(gradients), n_rows, wanted);
  const size_t count = made.chunks.size();
  if (out != 0) {
    if (count > capacity) throw py::value_error("there are more chunks than fit");
    if (count != 0) memcpy(reinterpret_cast<void*>(out), made.chunks.data(), count * sizeof(Chunk));
  }
  return {count, made.length, made.partials};
}

std::vector<std::tuple<int64_t, int64_t, int64_t>> chunks(uintptr_t rows, int64_t n_rows, int64_t wanted) {
  std::vector<Gradient> gradients;
  for (int64_t i = 0; i < n_rows; ++i) gradients.push_back({table<TensorRow>(rows)[i].g, 0, 0});
  std::vector<std::tuple<int64_t, int64_t, int64_t>> result;
  for (const Chunk& chunk : ChunkTable(table<TensorRow>(rows), gradients.data(), n_rows, wanted).chunks)
    result.emplace_back(chunk.row, chunk.start, chunk.partial);
  return result;
}

}  // namespace

void bind_host_device(py::module_& m) {
  py::dict sizes;
#define LRDSL_SIZE(name) sizes[#name] = sizeof(name);
  LRDSL_SIZE(TensorRow)
  LRDSL_SIZE(Gradient)
  LRDSL_SIZE(Chunk)
  LRDSL_SIZE(Hyper)
  LRDSL_SIZE(Bias)
  LRDSL_SIZE(Control)
  LRDSL_SIZE(Target)
  LRDSL_SIZE(Listener)
  LRDSL_SIZE(Rate)
  LRDSL_SIZE(Plan)
  LRDSL_SIZE(State)
  LRDSL_SIZE(Mirror)
  LRDSL_SIZE(Tables)
#undef LRDSL_SIZE
  m.attr("SIZES") = sizes;
  m.attr("HISTORY") = HISTORY;
  m.attr("NORM_CHUNK") = NORM_CHUNK;
  m.attr("AMSGRADS") = static_cast<int>(AMSGRADS);
  m.attr("EVERYTHING") = static_cast<int>(EVERYTHING);
  m.attr("PLAIN") = PLAIN;
  m.def(
      "format_of", [](int32_t dtype, bool master, bool wide) { return format_of(dtype, master, wide); },
      py::arg("dtype"), py::arg("master"), py::arg("grad_float32"), "What a row is made of, as one bit.");
  m.def("chunk_table", &chunk_table, py::arg("rows"), py::arg("gradients"), py::arg("n_rows"), py::arg("wanted"),
        py::arg("out"), py::arg("capacity"),
        "Makes the chunks that a grid walks, at `out` unless it is 0: how many, elements of each, sums of squares.");
  m.def("chunks", &chunks, py::arg("rows"), py::arg("n_rows"), py::arg("wanted"),
        "The chunks that a grid walks: (row, first element, index of its first sum of squares).");
  bind_device<HostDevice>(m, "HostDevice", "A device that is none: its memory and its launches are the host's.")
      .def(py::init())
      .def_readwrite("lag", &HostDevice::lag,
                     "How much of what was given may be still to do, as where a device runs behind.")
      .def("begin_capture", &HostDevice::begin_capture, "From now on launches are kept.")
      .def("end_capture", &HostDevice::end_capture, "Gives what was kept a number.")
      .def("replay", &HostDevice::replay, py::arg("graph"), "Runs what was kept.");
}
