// lrdsl._C: the walk over parameters, gradients and state that finds out whether the rows of the last step are true.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "cpu_step.h"
#include "element.h"
#include "place.h"

namespace py = pybind11;

namespace lrdsl {
namespace {

// From this many elements on a step is long enough to let other threads run.
constexpr int64_t WORTH_UNLOCKING = int64_t{1} << 22;
// From this many tensors on it pays to look at them with several threads.
constexpr int64_t WORTH_SHARING = 128;
// Stands for the address of an empty gradient: it exists, but has no memory.
constexpr uint64_t NOWHERE = 1;

void bind_torch(const py::dict& addresses, int64_t offset, int64_t keys_offset, uint64_t plain_keys,
                const py::object& without_gradient) {
#define LRDSL_BIND(result, field, name, arguments) \
  torch.field = reinterpret_cast<result(*) arguments>(addresses[name].cast<uintptr_t>());
  LRDSL_TORCH_FUNCTIONS(LRDSL_BIND)
#undef LRDSL_BIND
  torch.offset = offset;
  torch.keys_offset = keys_offset;
  torch.plain_keys = plain_keys;
  torch.undefined =
      TorchAbi::implementation(torch.gradient(TorchAbi::implementation(torch.of(without_gradient.ptr()))));
}

std::vector<std::string> torch_symbols() {
  return {
#define LRDSL_NAME(result, field, name, arguments) name,
      LRDSL_TORCH_FUNCTIONS(LRDSL_NAME)
#undef LRDSL_NAME
  };
}

py::tuple describe(const py::object& tensor, uint64_t plain_keys) {
  const Handle handle = torch.of(tensor.ptr());
  const Handle gradient = torch.gradient_of(handle);
  Place place;
  if (!place.read(handle, plain_keys)) return py::make_tuple(false, gradient != nullptr);
  return py::make_tuple(true, gradient != nullptr, reinterpret_cast<uintptr_t>(place.data), place.dtype, place.dims,
                        gradient == nullptr ? 0 : reinterpret_cast<uintptr_t>(TorchAbi::implementation(gradient)));
}

void call_for_entries(PyObject* dictionary) {
  const char* const keys = reinterpret_cast<const char*>(reinterpret_cast<const PyDictObject*>(dictionary)->ma_keys);
  __builtin_prefetch(keys);
  __builtin_prefetch(keys + 64);
}

// One entry of one parameter's state.
struct Entry {
  PyObject* name;
  Place place;
};

// The state of one parameter: where its entries end.
struct ParameterState {
  PyObject* parameter;
  PyObject* dictionary;
  size_t end;
};

// What the row of one parameter relies on.
struct Known {
  Place parameter, gradient;
  bool planned = false;  // there was a gradient once, and `gradient` says how the row expects the next
  bool detour = false;   // such a gradient has to be copied first
};

// It only borrows Python's objects; who uses it keeps them, so that the garbage collector sees who holds whom.
class Walk {
 public:
  // What a step comes back with. The last two: nothing was done, because
  enum Outcome { SKIPPED, APPLIED, INDIRECT /* a gradient has to be copied first */, CHANGED /* a row is not true */ };

  // All tensors have the dispatch keys of `plain_keys`. What is stepped remotely is never read here.
  Walk(const py::list& groups, const py::list& parameters, const py::dict& state, const py::type& tensor_type,
       uintptr_t rows, uint64_t plain_keys, bool remote)
      : groups_(groups.ptr()),
        state_(state.ptr()),
        tensor_type_(tensor_type.ptr()),
        rows_(reinterpret_cast<TensorRow*>(rows)),
        plain_keys_(plain_keys),
        remote_(remote) {
    for (const py::handle group : groups) known_groups_.push_back(group.ptr());
    for (const py::handle parameter : parameters) parameters_.push_back(parameter.ptr());
    known_.resize(parameters_.size());
  }

  // Whether these are still the groups, with the same parameters.
  bool holds() const {
    if (PyList_GET_SIZE(groups_) != static_cast<Py_ssize_t>(known_groups_.size())) return false;
    size_t index = 0;
    for (size_t i = 0; i < known_groups_.size(); ++i) {
      PyObject* const group = PyList_GET_ITEM(groups_, static_cast<Py_ssize_t>(i));
      if (group != known_groups_[i]) return false;
      PyObject* const list = PyDict_GetItemWithError(group, params_key_.ptr());
      if (list == nullptr || !PyList_Check(list)) return false;
      const auto count = static_cast<size_t>(PyList_GET_SIZE(list));
      if (count > parameters_.size() - index) return false;
      for (size_t k = 0; k < count; ++k, ++index) {
        if (PyList_GET_ITEM(list, static_cast<Py_ssize_t>(k)) != parameters_[index]) return false;
      }
    }
    return index == parameters_.size();
  }

  // The rows of the parameters `planned` are true for what is there now. `detours`: those whose gradient, laid out as
  // it was last, has to be copied first. Returns what has to be kept until the next call.
  py::list accept(const std::vector<size_t>& planned, const std::vector<size_t>& detours) {
    accepted_ = apart_ = false;
    std::vector<bool> has_row(parameters_.size());
    for (const size_t index : planned) has_row.at(index) = true;
    int64_t elements = 0;
    bool plain = true;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      Known& known = known_[i];
      const Handle p = torch.of(parameters_[i]);
      const Handle g = torch.gradient_of(p);
      known.planned = has_row[i] && (g != nullptr || (known.planned && known.parameter.same(p)));
      known.detour = false;
      plain = known.parameter.read(p, plain_keys_) && (g == nullptr || known.gradient.read(g, plain_keys_)) && plain;
      elements += rows_[i].n;
    }
    for (const size_t index : detours) known_.at(index).detour = true;
    large_ = !remote_ && elements >= WORTH_UNLOCKING;
    py::list kept;
    accepted_ = remember_state(kept) && plain;
    return kept;
  }

  // The plain step, on the gradients of now.
  int step(int kind, uintptr_t hypers, int64_t n_groups, uintptr_t control, int threads) {
    auto& settings = *reinterpret_cast<Control*>(control);
    const bool zero = (settings.flags & ZERO) != 0;
    const Held held;
    const Outcome found = look(zero, held, threads);
    if (found != APPLIED) return found;
    const bool applied = unlocked([&] {
      return lrdsl::step(static_cast<Rule>(kind), rows_, count(), reinterpret_cast<const Hyper*>(hypers), n_groups,
                         settings, threads);
    });
    if (applied) bump_parameters();
    if (zero) bump_gradients();
    return applied ? APPLIED : SKIPPED;
  }

  // For a step that is made elsewhere: APPLIED if it can go ahead with the rows as they are now.
  int gather(bool zero, int threads) {
    const Held held;
    return look(zero, held, threads);
  }

  // Whether an address in the rows was not there before the last look.
  bool moved() const { return moved_; }

  // Such a step has been made.
  void written(bool zero) const {
    bump_parameters();
    if (zero) bump_gradients();
  }

  // Only measures the norm of the gradients of now.
  int norm(uintptr_t control, int threads) {
    const Held held;
    const Outcome found = look(false, held, threads);
    if (found != APPLIED) return found;
    unlocked([&] {
      measure(rows_, count(), *reinterpret_cast<Control*>(control), threads);
      return true;
    });
    return APPLIED;
  }

 private:
  // References to gradients: without the interpreter's lock another thread may take one away.
  class Held {
   public:
    Held() = default;
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    ~Held() {
      for (const Handle gradient : gradients_) torch.release(gradient);
    }
    bool take(Handle gradient) const {
      Handle shared = nullptr;
      if (torch.share(gradient, &shared) != 0) return false;
      gradients_.push_back(shared);
      return true;
    }

   private:
    mutable std::vector<Handle> gradients_;
  };

  // Autograd cannot see writes through an address.
  void bump_parameters() const {
    for (size_t i = 0; i < parameters_.size(); ++i) {
      if (i + 2 * AHEAD < parameters_.size()) __builtin_prefetch(behind(parameters_[i + 2 * AHEAD]));
      if (i + AHEAD < parameters_.size()) call_for_version(behind(parameters_[i + AHEAD]));
      if (rows_[i].g != 0) torch.bump(torch.of(parameters_[i]));
    }
  }

  void bump_gradients() const {
    for (const PyObject* const parameter : parameters_) {
      const Handle g = torch.gradient_of(torch.of(parameter));
      if (g != nullptr) torch.bump(g);
    }
  }

  int64_t count() const { return static_cast<int64_t>(parameters_.size()); }

  // Small steps keep the lock: to hold their gradients would take longer than they do.
  template <class Call>
  bool unlocked(Call call) const {
    if (!large_) return call();
    const py::gil_scoped_release release;
    return call();
  }

  // APPLIED: the rows are true, and have the addresses of the gradients there are.
  Outcome look(bool zero, const Held& held, int threads) {
    if (!accepted_ || !same_objects()) return CHANGED;
    const auto entries = static_cast<int64_t>(tensors_.size());
    const bool parallel = entries + count() >= WORTH_SHARING;
    [[maybe_unused]] const int helpers = parallel ? usable_threads(threads) : 1;
    int found = APPLIED;
    bool moved = false;
#pragma omp parallel num_threads(helpers) if (helpers > 1) reduction(max : found) reduction(|| : moved)
    {
#pragma omp for schedule(static) nowait
      for (int64_t i = 0; i < entries; ++i) {
        const auto at = static_cast<size_t>(i);
        call_for_tensors(tensors_, at);
        if (!entries_[at].place.same(torch.of(tensors_[at]))) found = CHANGED;
      }
#pragma omp for schedule(static)
      for (int64_t i = 0; i < count(); ++i) {
        const auto at = static_cast<size_t>(i);
        call_for_tensors(parameters_, at);
        call_for_gradients(parameters_, at);
        uint64_t address = 0;
        found = std::max(found, static_cast<int>(look_at(at, &address)));
        moved = moved || rows_[at].g != address;
        rows_[at].g = address;
      }
    }
    apart_ = apart_ && zero && !moved && found == APPLIED;
    moved_ = moved;
    if (found == CHANGED || !steps_counted() || (large_ && !hold_gradients(held))) return CHANGED;
    if (zero && found == APPLIED && !apart_) {
      apart_ = gradients_apart();
      if (!apart_) return INDIRECT;  // one must not be zeroed before the other was seen
    }
    return static_cast<Outcome>(found);
  }

  // One parameter, and where its gradient is; 0 if there is none.
  Outcome look_at(size_t at, uint64_t* address) const {
    const Known& known = known_[at];
    const Handle p = torch.of(parameters_[at]);
    if (!known.parameter.same(p)) return CHANGED;
    const Handle g = torch.gradient_of(p);
    if (g == nullptr) return APPLIED;
    void* data = nullptr;
    if (!known.planned || !known.gradient.fits(g, &data)) return CHANGED;
    const bool empty = rows_[at].n == 0;
    if (data == nullptr && !empty) return CHANGED;
    *address = empty ? NOWHERE : reinterpret_cast<uint64_t>(data);
    return known.detour ? INDIRECT : APPLIED;
  }

  // Whether the steps that are published are those that were counted. Only once the state is known to be where it was.
  bool steps_counted() const {
    if (remote_) return true;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      if (i + AHEAD < parameters_.size()) __builtin_prefetch(pointer<void>(rows_[i + AHEAD].step_out));
      const TensorRow& row = rows_[i];
      if (row.g == 0 || row.step_out == 0) continue;
      const auto step = static_cast<double>(row.step);
      const bool wide = (row.flags & STEP_FLOAT64) != 0;
      if ((wide ? *pointer<double>(row.step_out) : static_cast<double>(*pointer<float>(row.step_out))) != step)
        return false;
    }
    return true;
  }

  bool hold_gradients(const Held& held) const {
    for (const PyObject* const parameter : parameters_) {
      const Handle g = torch.gradient_of(torch.of(parameter));
      if (g != nullptr && !held.take(g)) return false;
    }
    return true;
  }

  // Whether no two gradients share memory.
  bool gradients_apart() const {
    std::vector<std::pair<uint64_t, uint64_t>> ranges;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const TensorRow& row = rows_[i];
      if (row.g == 0 || row.n == 0) continue;
      const uint64_t width = (row.flags & GRAD_FLOAT32) != 0 ? 4 : static_cast<uint64_t>(bytes_of(row.dtype));
      ranges.emplace_back(row.g, row.g + width * static_cast<uint64_t>(row.n));
    }
    std::sort(ranges.begin(), ranges.end());
    for (size_t i = 1; i < ranges.size(); ++i) {
      if (ranges[i].first < ranges[i - 1].second) return false;
    }
    return true;
  }

  // Whether the state still has the same tensors. Dictionaries are walked in their order, which spares looking keys up.
  bool same_objects() const {
    PyObject *key = nullptr, *value = nullptr;
    Py_ssize_t at = 0;
    size_t count = 0, entry = 0;
    while (PyDict_Next(state_, &at, &key, &value)) {
      if (count == states_.size() || key != states_[count].parameter || value != states_[count].dictionary)
        return false;
      if (count + 2 * AHEAD < states_.size()) __builtin_prefetch(states_[count + 2 * AHEAD].dictionary);
      if (count + AHEAD < states_.size()) call_for_entries(states_[count + AHEAD].dictionary);
      const size_t end = states_[count++].end;
      PyObject *name = nullptr, *tensor = nullptr;
      Py_ssize_t inner = 0;
      while (PyDict_Next(value, &inner, &name, &tensor)) {
        if (entry == end || name != entries_[entry].name || tensor != tensors_[entry++]) return false;
      }
      if (entry != end) return false;
    }
    return count == states_.size();
  }

  // False if there is something beside tensors; whether that changes cannot be known.
  bool remember_state(py::list& kept) {
    states_.clear();
    entries_.clear();
    tensors_.clear();
    PyObject *key = nullptr, *value = nullptr;
    Py_ssize_t at = 0;
    while (PyDict_Next(state_, &at, &key, &value)) {
      if (!PyDict_Check(value)) return false;
      kept.append(py::handle(key));
      kept.append(py::handle(value));
      PyObject *name = nullptr, *tensor = nullptr;
      Py_ssize_t inner = 0;
      while (PyDict_Next(value, &inner, &name, &tensor)) {
        if (reinterpret_cast<PyObject*>(Py_TYPE(tensor)) != tensor_type_) return false;
        entries_.push_back({name, {}});
        tensors_.push_back(tensor);
        if (!entries_.back().place.read(torch.of(tensor), plain_keys_)) return false;
        kept.append(py::handle(name));
        kept.append(py::handle(tensor));
      }
      states_.push_back({key, value, entries_.size()});
    }
    return true;
  }

  PyObject* groups_;
  PyObject* state_;
  PyObject* tensor_type_;
  py::str params_key_ = py::str("params");
  TensorRow* rows_;
  uint64_t plain_keys_;
  bool remote_;
  std::vector<PyObject*> known_groups_, parameters_;
  std::vector<Known> known_;
  std::vector<ParameterState> states_;
  std::vector<Entry> entries_;      // of all states in turn
  std::vector<PyObject*> tensors_;  // theirs
  bool accepted_ = false, large_ = false;
  bool moved_ = false;
  bool apart_ = false;  // the gradients in the rows are known to share no memory
};

}  // namespace
}  // namespace lrdsl

void bind_walk(py::module_& m) {
  using lrdsl::Walk;
  m.attr("TORCH_SYMBOLS") = lrdsl::torch_symbols();
  m.def("bind_torch", &lrdsl::bind_torch, py::arg("addresses"), py::arg("offset"), py::arg("keys_offset"),
        py::arg("plain_keys"), py::arg("without_gradient"),
        "Use these functions of torch's, and find a tensor's handle and its dispatch keys at these offsets.");
  m.def("describe", &lrdsl::describe, py::arg("tensor"), py::arg("plain_keys"),
        "A tensor as a walk sees it, for the trial of `bind_torch`.");
  py::class_<Walk>(m, "Walk", "Compares what a step would touch with what its rows were made for.")
      .def(py::init<const py::list&, const py::list&, const py::dict&, const py::type&, uintptr_t, uint64_t, bool>(),
           py::arg("groups"), py::arg("parameters"), py::arg("state"), py::arg("tensor_type"), py::arg("rows"),
           py::arg("plain_keys"), py::arg("remote"))
      .def("holds", &Walk::holds, "Are these still the groups, with the same parameters?")
      .def("accept", &Walk::accept, py::arg("planned"), py::arg("detours"),
           "The rows of `planned` are true for what is there now; `detours`: whose gradient has to be copied first.")
      .def("step", &Walk::step, py::arg("kind"), py::arg("hypers"), py::arg("n_groups"), py::arg("control"),
           py::arg("threads"), "The plain step, on the gradients of now, if the rows are still true.")
      .def("gather", &Walk::gather, py::arg("zero"), py::arg("threads"),
           "Look only: whether the rows are true, with the gradients of now.")
      .def_property_readonly("moved", &Walk::moved, "Whether the last look found a gradient elsewhere.")
      .def("written", &Walk::written, py::arg("zero"), "A step was made elsewhere: tell autograd.")
      .def("norm", &Walk::norm, py::arg("control"), py::arg("threads"), "Only the norm of the gradients of now.");
  for (const auto& [name, outcome] : {std::pair("SKIPPED", Walk::SKIPPED), std::pair("APPLIED", Walk::APPLIED),
                                      std::pair("INDIRECT", Walk::INDIRECT), std::pair("CHANGED", Walk::CHANGED)})
    m.attr(name) = static_cast<int>(outcome);
}
