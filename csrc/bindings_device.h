// How a device looks from Python; the same for one that is none.
#pragma once

#include <pybind11/pybind11.h>

#include <stdexcept>
#include <string>

#include "launches.h"

namespace lrdsl {

namespace py = pybind11;

inline const char* const VARIANTS[] = {"advance", "ticket", "early"};

inline Variant variant_of(const std::string& name) {
  for (int i = 0; i < 3; ++i)
    if (name == VARIANTS[i]) return static_cast<Variant>(i);
  throw py::value_error("variant: expected advance, early or ticket, got " + name);
}

template <class Device, class... Options>
py::class_<Device, Options...> bind_device(py::module_& m, const char* name, const char* meaning) {
  using Stream = uintptr_t;
  const auto tables = [](uintptr_t address) -> const Tables& { return *reinterpret_cast<const Tables*>(address); };
  return py::class_<Device, Options...>(m, name, meaning)
      .def_property_readonly(
          "wanted_chunks", [](const Device& self) -> int64_t { return self.wanted_chunks; },
          "How many chunks keep it busy.")
      .def_readonly("launches", &Device::launches, "Kernels launched so far, by replays only where they are counted.")
      .def_readonly("uploads", &Device::uploads, "Copies to the device so far.")
      .def_property(
          "variant", [](const Device& self) { return VARIANTS[static_cast<int>(self.variant)]; },
          [](Device& self, const std::string& name) { self.variant = variant_of(name); }, "Which launches make a step.")
      .def("capturing", &Device::capturing, py::arg("stream"), "Whether launches are kept for a graph now.")
      .def("allocate", &Device::allocate, py::arg("size"), "Memory of the device's; also during a capture.")
      .def("free", &Device::free, py::arg("address"))
      .def("upload", &Device::upload, py::arg("to"), py::arg("source"), py::arg("size"), py::arg("stream"),
           "Copies to the device in the order of the stream; the source may be reused at once. During a capture the "
           "copy "
           "is made at once and not kept.")
      .def("download", &Device::download, py::arg("to"), py::arg("source"), py::arg("size"), py::arg("stream"),
           py::call_guard<py::gil_scoped_release>(), "Copies from the device, after all that the stream was given.")
      .def("synchronize", &Device::synchronize, py::arg("stream"), py::call_guard<py::gil_scoped_release>(),
           "Waits for all that the stream was given.")
      .def("preload", &Device::preload, "Loads every kernel now: later it might happen during a capture.")
      .def(
          "step",
          [tables](Device& self, int kind, int formats, uintptr_t t, Stream stream) {
            self.step(kind, formats, tables(t), stream);
          },
          py::arg("kind"), py::arg("formats"), py::arg("tables"), py::arg("stream"),
          "One step; the norm comes first if the tables' control says MEASURE.")
      .def(
          "measure", [tables](Device& self, uintptr_t t, Stream stream) { self.measure(tables(t), stream); },
          py::arg("tables"), py::arg("stream"), "Only the norm.")
      .def(
          "report",
          [tables](Device& self, uintptr_t t, int64_t metric, uintptr_t value, int32_t dtype, Stream stream) {
            self.report(tables(t), metric, value, dtype, stream);
          },
          py::arg("tables"), py::arg("metric"), py::arg("value"), py::arg("dtype"), py::arg("stream"),
          "Reports a metric whose value, one number, lies in the device's memory.")
      .def(
          "report_number",
          [tables](Device& self, uintptr_t t, int64_t metric, double number, Stream stream) {
            self.report_number(tables(t), metric, number, stream);
          },
          py::arg("tables"), py::arg("metric"), py::arg("number"), py::arg("stream"), "Reports a metric.")
      .def(
          "publish",
          [tables](Device& self, uintptr_t t, bool advance, Stream stream) {
            self.publish(tables(t), advance, stream);
          },
          py::arg("tables"), py::arg("advance"), py::arg("stream"),
          "The schedules without an update: the clock advances if asked to, and all outs are written.")
      .def("evaluate", &Device::evaluate, py::arg("program"), py::arg("slots"), py::arg("steps"), py::arg("count"),
           py::arg("out"), py::arg("stream"), "The values of a Program; everything lies in the device's memory.");
}

}  // namespace lrdsl
