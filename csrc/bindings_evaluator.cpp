// lrdsl._C: the evaluator. A Program comes packed, is verified once, and then runs without a check.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "evaluate.h"

namespace py = pybind11;

namespace lrdsl {
namespace {

// A contiguous buffer of 8-byte items, borrowed for one call.
class Borrowed {
 public:
  Borrowed(py::handle object, char kind, bool writable, int64_t least = 0) {
    if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | (writable ? PyBUF_WRITABLE : 0)) !=
        0)
      throw py::error_already_set();
    const char format = view_.format == nullptr ? 'B' : view_.format[0];
    if (view_.itemsize != 8 || (kind == 'd' ? format != 'd' : format != 'q' && format != 'l')) {
      PyBuffer_Release(&view_);
      throw std::invalid_argument(kind == 'd' ? "expected float64 numbers" : "expected int64 numbers");
    }
    if (size() < least) {
      PyBuffer_Release(&view_);
      throw std::invalid_argument("the buffer is too short");
    }
  }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;
  ~Borrowed() { PyBuffer_Release(&view_); }

  template <class T>
  T* data() const {
    return static_cast<T*>(view_.buf);
  }
  int64_t size() const { return view_.len / 8; }

 private:
  Py_buffer view_;
};

class NativeProgram {
 public:
  explicit NativeProgram(const std::string& bytes) : words_((bytes.size() + 7) / 8) {
    memcpy(words_.data(), bytes.data(), bytes.size());
    const char* fault = bytes.size() < sizeof(Program) ? "not a packed Program" : fault_in(program(), bytes.size());
    if (fault != nullptr) throw std::invalid_argument(fault);
  }

  double value(int64_t step, const py::object& state) const {
    const Borrowed slots = state_of(state, false);
    return evaluate(program(), step, slots.data<double>());
  }

  void values(const py::object& steps, const py::object& state, const py::object& out) const {
    const Borrowed from(steps, 'q', false), slots = state_of(state, false), to(out, 'd', true, from.size());
    const py::gil_scoped_release release;
    evaluate_many(program(), from.data<int64_t>(), from.size(), slots.data<double>(), to.data<double>());
  }

  void observe(int64_t metric, double report, int64_t step, const py::object& state, bool skipped) const {
    const Borrowed slots = state_of(state, true);
    lrdsl::observe(program(), metric, report, step, skipped, slots.data<double>());
  }

  uintptr_t address() const { return reinterpret_cast<uintptr_t>(words_.data()); }

 private:
  const Program& program() const { return *reinterpret_cast<const Program*>(words_.data()); }

  Borrowed state_of(const py::object& state, bool writable) const {
    return Borrowed(state, 'd', writable, program().state);
  }

  std::vector<int64_t> words_;
};

std::vector<std::pair<std::string, int>> opcodes() {
  return {
#define LRDSL_MOVE(name, arity) {#name, arity},
#define LRDSL_OP(name, arity, expression) {#name, arity},
#include "opcodes.inc"
#undef LRDSL_MOVE
#undef LRDSL_OP
  };
}

// The compiler must not fold a golden case: it would fold without contraction.
double opaque(double value) {
  volatile double hidden = value;
  return hidden;
}

// Golden bits: a build that contracts or reassociates must not run. Empty if all is well.
std::string self_test() {
  struct Case {
    const char* name;
    double got;
    uint64_t expected;
  };
  const Case cases[] = {
#include "golden.inc"
  };
  for (const Case& c : cases)
    if (to_bits(c.got) != c.expected) return std::string(c.name) + " gives other bits than the reference";
  return "";
}

}  // namespace
}  // namespace lrdsl

void bind_evaluator(py::module_& m) {
  using lrdsl::NativeProgram;
  py::class_<NativeProgram>(m, "Program", "A verified Program.")
      .def(py::init([](const py::bytes& packed) { return NativeProgram(std::string(packed)); }), py::arg("packed"))
      .def("value", &NativeProgram::value, py::arg("step"), py::arg("state"), "The value for one update.")
      .def("values", &NativeProgram::values, py::arg("steps"), py::arg("state"), py::arg("out"),
           "The values for many updates, into `out`.")
      .def("observe", &NativeProgram::observe, py::arg("metric"), py::arg("report"), py::arg("step"), py::arg("state"),
           py::arg("skipped") = false, "Take a report; `state` changes in place.")
      .def_property_readonly("address", &NativeProgram::address, "Where the packed words lie.");
  m.attr("MAGIC") = lrdsl::MAGIC;
  m.def("opcodes", &lrdsl::opcodes, "Names and arities, for the comparison with Python's table.");
  m.def("self_test", &lrdsl::self_test, "What is wrong with this build; empty if nothing is.");
}
