// lrdsl._C: integers and numbers in, C++ exceptions out. pybind11 lives in the bindings*.cpp files only.
#include <pybind11/pybind11.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#include <cstddef>
#include <stdexcept>

#include "cpu_step.h"

namespace py = pybind11;

// In bindings_*.cpp.
void bind_emulation(py::module_& m);
void bind_evaluator(py::module_& m);
void bind_host_device(py::module_& m);
void bind_publisher(py::module_& m);
void bind_walk(py::module_& m);

namespace lrdsl {
namespace {

// What Python needs to know of a struct in order to fill an array of them through NumPy.
struct Field {
  const char* name;
  const char* format;
  size_t offset;
};

template <class T>
constexpr const char* FORMAT = nullptr;
template <>
constexpr const char* FORMAT<uint64_t> = "u8";
template <>
constexpr const char* FORMAT<int64_t> = "i8";
template <>
constexpr const char* FORMAT<int32_t> = "i4";
template <>
constexpr const char* FORMAT<double> = "f8";

#define LRDSL_FIELD(type, field) \
  Field { #field, FORMAT<decltype(type::field)>, offsetof(type, field) }

constexpr Field ROW_FIELDS[] = {
    LRDSL_FIELD(TensorRow, p),        LRDSL_FIELD(TensorRow, g),     LRDSL_FIELD(TensorRow, m),
    LRDSL_FIELD(TensorRow, v),        LRDSL_FIELD(TensorRow, vmax),  LRDSL_FIELD(TensorRow, master),
    LRDSL_FIELD(TensorRow, step_out), LRDSL_FIELD(TensorRow, n),     LRDSL_FIELD(TensorRow, step),
    LRDSL_FIELD(TensorRow, group),    LRDSL_FIELD(TensorRow, dtype), LRDSL_FIELD(TensorRow, flags),
};

constexpr Field HYPER_FIELDS[] = {
    LRDSL_FIELD(Hyper, lr),  LRDSL_FIELD(Hyper, weight_decay), LRDSL_FIELD(Hyper, beta1),     LRDSL_FIELD(Hyper, beta2),
    LRDSL_FIELD(Hyper, eps), LRDSL_FIELD(Hyper, momentum),     LRDSL_FIELD(Hyper, dampening), LRDSL_FIELD(Hyper, flags),
};

constexpr Field CONTROL_FIELDS[] = {
    LRDSL_FIELD(Control, max_norm),  LRDSL_FIELD(Control, norm),  LRDSL_FIELD(Control, grad_scale),
    LRDSL_FIELD(Control, found_inf), LRDSL_FIELD(Control, flags), LRDSL_FIELD(Control, skipped),
};

#undef LRDSL_FIELD

template <size_t N>
py::list listed(const Field (&fields)[N]) {
  py::list list;
  for (const Field& field : fields) list.append(py::make_tuple(field.name, field.format, field.offset));
  return list;
}

bool step_tables(int kind, uintptr_t rows, int64_t n_rows, uintptr_t hypers, int64_t n_groups, uintptr_t control,
                 int threads) {
  if (kind < static_cast<int>(Rule::SGD) || kind > static_cast<int>(Rule::LIMIT))
    throw std::invalid_argument("kind: expected 0 (SGD), 1 (Adam) or 2 (limit pattern), got " + std::to_string(kind));
  return step(static_cast<Rule>(kind), reinterpret_cast<TensorRow*>(rows), n_rows,
              reinterpret_cast<const Hyper*>(hypers), n_groups, *reinterpret_cast<Control*>(control), threads);
}

void measure_tables(uintptr_t rows, int64_t n_rows, uintptr_t control, int threads) {
  measure(reinterpret_cast<const TensorRow*>(rows), n_rows, *reinterpret_cast<Control*>(control), threads);
}

py::tuple isa_names() {
  py::list names;
  for (const Isa& isa : isas())
    if (isa.supported) names.append(isa.name);
  return py::tuple(names);
}

int openmp_threads() {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 0;
#endif
}

}  // namespace
}  // namespace lrdsl

PYBIND11_MODULE(_C, m) {
  m.doc() = "The native part of lrdsl: the schedule evaluator and the optimizer step on the CPU.";

  m.attr("ROW_DTYPE") = lrdsl::listed(lrdsl::ROW_FIELDS);
  m.attr("ROW_SIZE") = sizeof(lrdsl::TensorRow);
  m.attr("HYPER_DTYPE") = lrdsl::listed(lrdsl::HYPER_FIELDS);
  m.attr("HYPER_SIZE") = sizeof(lrdsl::Hyper);
  m.attr("CONTROL_DTYPE") = lrdsl::listed(lrdsl::CONTROL_FIELDS);
  m.attr("CONTROL_SIZE") = sizeof(lrdsl::Control);

  m.def("step", &lrdsl::step_tables, py::arg("kind"), py::arg("rows"), py::arg("n_rows"), py::arg("hypers"),
        py::arg("n_groups"), py::arg("control"), py::arg("threads"), py::call_guard<py::gil_scoped_release>(),
        "Update every tensor row that has a gradient, and count its step; False if the step was skipped.");
  m.def("norm", &lrdsl::measure_tables, py::arg("rows"), py::arg("n_rows"), py::arg("control"), py::arg("threads"),
        py::call_guard<py::gil_scoped_release>(), "Measure the norm of all gradients, and nothing else.");
  m.def("isa", [] { return lrdsl::active_isa().name; }, "Instruction set in use.");
  m.def("isas", &lrdsl::isa_names, "Instruction sets that this CPU can run, best first.");
  m.def("set_isa", &lrdsl::set_isa, py::arg("name"), "Use another instruction set from now on; for tests.");
  m.def("openmp", &lrdsl::openmp_threads, "Threads OpenMP would use by itself; 0 if compiled without OpenMP.");

  bind_emulation(m);
  bind_evaluator(m);
  bind_host_device(m);
  bind_publisher(m);
  bind_walk(m);
}
