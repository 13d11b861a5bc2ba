// lrdsl._C: the device's kernels on a host grid, over the tables of `step`; for tests.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "cpu_step.h"
#include "emulate.h"

namespace py = pybind11;

namespace lrdsl {
namespace {

template <class T>
T* table(uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

template <class Kind>
Kind one_of(const char* name, int value, const char* meaning) {
  if (value != 0 && value != 1)
    throw std::invalid_argument(std::string(name) + ": expected " + meaning + ", got " + std::to_string(value));
  return static_cast<Kind>(value);
}

Launch launch_of(int64_t blocks, uint64_t seed, int threads) {
  if (blocks < 1 || blocks > UINT32_MAX) throw std::invalid_argument("blocks: expected 1 to 2**32 - 1");
  if (threads < 1) throw std::invalid_argument("threads: expected at least 1");
  return {blocks, seed, threads};
}

std::unique_ptr<Emulation> emulation(int kind, uintptr_t rows, int64_t n_rows, uintptr_t hypers, int64_t n_groups,
                                     uintptr_t control, int64_t blocks, int variant) {
  const Rule rule = one_of<Rule>("kind", kind, "0 (SGD) or 1 (Adam)");
  const Variant launches = one_of<Variant>("variant", variant, "0 (advance) or 1 (ticket)");
  check(rule, table<TensorRow>(rows), n_rows, table<Hyper>(hypers), n_groups, *table<Control>(control));
  return std::make_unique<Emulation>(rule, launches, table<TensorRow>(rows), n_rows, table<Hyper>(hypers), n_groups,
                                     *table<Control>(control), blocks);
}

bool step_once(int kind, uintptr_t rows, int64_t n_rows, uintptr_t hypers, int64_t n_groups, uintptr_t control,
               int64_t blocks, uint64_t seed, int threads, int variant) {
  const Launch launch = launch_of(blocks, seed, threads);
  return emulation(kind, rows, n_rows, hypers, n_groups, control, blocks, variant)->replay(launch);
}

void measure_once(uintptr_t rows, int64_t n_rows, uintptr_t control, int64_t blocks, uint64_t seed, int threads) {
  const Launch launch = launch_of(blocks, seed, threads);
  check_gradients(table<TensorRow>(rows), n_rows);
  Emulation(Rule::SGD, Variant::TICKET, table<TensorRow>(rows), n_rows, nullptr, 0, *table<Control>(control), blocks)
      .measure(launch);
}

// Of one emulated device: (Program's address, slots' address, origin, group, field) for each target.
using Targets = std::vector<std::tuple<uintptr_t, uintptr_t, int64_t, int32_t, int32_t>>;
using Listeners = std::vector<std::tuple<int32_t, int32_t, int32_t>>;  // target, metric, metric of the Program

std::unique_ptr<Emulation> scheduled(int kind, uintptr_t rows, int64_t n_rows, uintptr_t hypers, int64_t n_groups,
                                     uintptr_t control, int64_t blocks, int variant, const Targets& targets,
                                     const Listeners& listeners) {
  auto made = emulation(kind, rows, n_rows, hypers, n_groups, control, blocks, variant);
  for (const auto& [program, slots, origin, group, field] : targets) {
    if (group < 0 || group >= n_groups || field < 0 || field >= FIELDS)
      throw std::invalid_argument("a target is out of range");
    made->targets.push_back({program, slots, 0, origin, -1, group, field, 0, 0});
  }
  for (const auto& [target, metric, local] : listeners) {
    if (target < 0 || target >= static_cast<int64_t>(targets.size()))
      throw std::invalid_argument("a listener is out of range");
    made->listeners.push_back({target, metric, local, 0});
  }
  return made;
}

void replay(Emulation& emulation, int64_t count, int64_t blocks, uint64_t seed, int threads) {
  const Launch launch = launch_of(blocks, seed, threads);
  for (int64_t i = 0; i < count; ++i) emulation.replay(launch);
}

std::vector<int64_t> faults(const Emulation& emulation) {
  std::vector<int64_t> result;
  for (const Target& target : emulation.targets) result.push_back(target.fault);
  return result;
}

}  // namespace
}  // namespace lrdsl

void bind_emulation(py::module_& m) {
  using namespace lrdsl;
  const py::call_guard<py::gil_scoped_release> released;
  m.def("emulate", &step_once, py::arg("kind"), py::arg("rows"), py::arg("n_rows"), py::arg("hypers"),
        py::arg("n_groups"), py::arg("control"), py::arg("blocks"), py::arg("seed") = 0, py::arg("threads") = 1,
        py::arg("variant") = 0, released, "As `step`, by the device's kernels on a host grid.");
  m.def("emulate_norm", &measure_once, py::arg("rows"), py::arg("n_rows"), py::arg("control"), py::arg("blocks"),
        py::arg("seed") = 0, py::arg("threads") = 1, released, "As `norm`, by the device's kernel on a host grid.");
  py::class_<Emulation>(m, "Emulation", "A captured step: tables that are made once, and replays that read only them.")
      .def(py::init(&scheduled), py::arg("kind"), py::arg("rows"), py::arg("n_rows"), py::arg("hypers"),
           py::arg("n_groups"), py::arg("control"), py::arg("blocks"), py::arg("variant"), py::arg("targets"),
           py::arg("listeners"))
      .def("replay", &replay, py::arg("count"), py::arg("blocks"), py::arg("seed") = 0, py::arg("threads") = 1,
           released, "Run whole steps.")
      .def("keep_last", &Emulation::keep_last, py::arg("count"), "Walk no chunks but the last ones.")
      .def("report", &Emulation::report, py::arg("metric"), py::arg("value"), "Report a metric to all who listen.")
      .def(
          "plan", [](Emulation& self, size_t target, uintptr_t program) { self.targets.at(target).program = program; },
          py::arg("target"), py::arg("program"), "Let a target follow another Program, whose slots are the same.")
      .def_property(
          "clock", [](const Emulation& self) { return self.state.clock; },
          [](Emulation& self, int64_t clock) { self.state.clock = clock; }, "Applied updates.")
      .def_property_readonly("faults", &faults, "Of each target: its first update without a usable value, or -1.");
}
