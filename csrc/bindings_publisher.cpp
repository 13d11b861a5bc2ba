// lrdsl._C: puts the values of the next update into the parameter groups, and tells whether somebody else wrote there.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "evaluate.h"

namespace py = pybind11;

namespace lrdsl {
namespace {

// A scheduled value as Python describes it: group, key, part of a pair or -1, address of the packed Program, its live
// state, where the clock stood at its step 0, and where the step reads the value.
using Description = std::tuple<size_t, std::string, Py_ssize_t, uintptr_t, py::buffer, int64_t, uintptr_t>;

struct Cell {
  size_t group, key;  // which entry
  Py_ssize_t part;    // of a pair; -1: the entry itself
  const Program* program;
  py::buffer_info state;
  int64_t origin;
  double* hyper;

  double below() const { return part < 0 ? std::numeric_limits<double>::infinity() : 1.0; }
  // A momentum that comes or goes changes which state the parameters need.
  bool alters_state(double value, const std::string& name) const {
    return name == "momentum" && (*hyper == 0.0) != (value == 0.0);
  }
};

bool is_number(PyObject* object) { return PyFloat_Check(object) || PyLong_Check(object); }

// Whether an object can only change by being replaced.
bool is_constant(PyObject* object) {
  if (is_number(object)) return true;
  if (!PyTuple_CheckExact(object)) return false;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(object); ++i) {
    if (!is_number(PyTuple_GET_ITEM(object, i))) return false;
  }
  return true;
}

// It only borrows the groups; who uses it keeps them, so that the garbage collector sees who holds whom.
class Publisher {
 public:
  Publisher(const py::list& groups, const std::vector<std::string>& keys, const std::vector<Description>& cells,
            const py::buffer& values, py::list objects, std::string shown)
      : groups_(groups.ptr()),
        names_(keys),
        shown_(std::move(shown)),
        objects_(std::move(objects)),
        values_(values.request(true)) {
    for (const py::handle group : groups) known_.push_back(group.ptr());
    for (const std::string& key : keys)
      keys_.push_back(py::reinterpret_steal<py::str>(PyUnicode_InternFromString(key.c_str())));
    for (const auto& [group, key, part, program, state, origin, hyper] : cells) {
      size_t index = 0;
      while (names_.at(index) != key) ++index;
      if (group >= known_.size()) throw std::invalid_argument("no group " + std::to_string(group));
      cells_.push_back({group, index, part, reinterpret_cast<const Program*>(program), state.request(), origin,
                        reinterpret_cast<double*>(hyper)});
    }
    if (static_cast<size_t>(values_.size) != cells_.size() || objects_.size() != cells_.size())
      throw std::invalid_argument("expected one value and one object per cell");
  }

  // Remembers what is in the groups now, as far as that could not change unnoticed.
  void watch() {
    std::vector<py::object> found;
    for (PyObject* const group : known_) {
      for (size_t k = 0; k < keys_.size(); ++k) {
        PyObject* const entry = PyDict_GetItemWithError(group, keys_[k].ptr());
        if (entry == nullptr || !(is_constant(entry) || names_[k] == shown_)) {
          watched_.clear();
          return;
        }
        found.push_back(py::reinterpret_borrow<py::object>(entry));
      }
    }
    watched_ = std::move(found);
  }

  // Whether every watched entry is still the same object.
  bool same() const {
    if (watched_.empty() || PyList_GET_SIZE(groups_) != static_cast<Py_ssize_t>(known_.size())) return false;
    size_t at = 0;
    for (size_t i = 0; i < known_.size(); ++i) {
      PyObject* const group = known_[i];
      if (PyList_GET_ITEM(groups_, static_cast<Py_ssize_t>(i)) != group) return false;
      for (const py::str& key : keys_) {
        if (PyDict_GetItemWithError(group, key.ptr()) != watched_[at++].ptr()) return false;
      }
    }
    return true;
  }

  // Writes the values of update `clock`. False, and nothing is written, if one is not usable or has no place.
  bool publish(int64_t clock) {
    fresh_.clear();
    for (const Cell& cell : cells_) {
      const double value = evaluate(*cell.program, clock - cell.origin, static_cast<const double*>(cell.state.ptr));
      if (!(value >= 0.0 && value < cell.below()) || !is_writable(cell)) return false;
      fresh_.push_back(value);
    }
    auto* const values = static_cast<double*>(values_.ptr);
    bool settled = true;
    for (size_t i = 0; i < cells_.size(); ++i) {
      const Cell& cell = cells_[i];
      if (cell.alters_state(fresh_[i], names_[cell.key])) settled = false;
      values[i] = *cell.hyper = fresh_[i];
      const auto object = py::reinterpret_steal<py::object>(PyFloat_FromDouble(fresh_[i]));
      objects_[i] = object;
      write(cell, object);
    }
    if (!settled) watched_.clear();
    return true;
  }

 private:
  bool is_writable(const Cell& cell) const {
    PyObject* const entry = PyDict_GetItemWithError(known_[cell.group], keys_[cell.key].ptr());
    return entry != nullptr && (cell.part < 0 || (PyTuple_Check(entry) && cell.part < PyTuple_GET_SIZE(entry)));
  }

  void write(const Cell& cell, const py::object& object) {
    PyObject* const group = known_[cell.group];
    PyObject* const key = keys_[cell.key].ptr();
    PyObject* const before = PyDict_GetItemWithError(group, key);
    py::object entry = object;
    if (cell.part >= 0) {
      const auto parts = py::reinterpret_borrow<py::tuple>(before);
      py::tuple changed(parts.size());
      for (size_t i = 0; i < parts.size(); ++i)
        changed[i] = static_cast<Py_ssize_t>(i) == cell.part ? object : py::object(parts[i]);
      entry = changed;
    }
    // Whatever somebody else put there has not been read yet.
    const size_t at = cell.group * keys_.size() + cell.key;
    const bool ours = !watched_.empty() && watched_[at].ptr() == before;
    if (PyDict_SetItem(group, key, entry.ptr()) != 0) throw py::error_already_set();
    if (ours)
      watched_[at] = entry;
    else
      watched_.clear();
  }

  PyObject* groups_;
  std::vector<std::string> names_;
  std::string shown_;  // the key of entries that may change in place: nobody here reads them
  py::list objects_;
  py::buffer_info values_;
  std::vector<PyObject*> known_;
  std::vector<py::str> keys_;
  std::vector<Cell> cells_;
  std::vector<py::object> watched_;  // group by group, key by key; empty: nothing is known
  std::vector<double> fresh_;
};

}  // namespace
}  // namespace lrdsl

void bind_publisher(py::module_& m) {
  using lrdsl::Publisher;
  py::class_<Publisher>(m, "Publisher", "Writes scheduled values into parameter groups, and watches their entries.")
      .def(py::init<const py::list&, const std::vector<std::string>&, const std::vector<lrdsl::Description>&,
                    const py::buffer&, py::list, std::string>(),
           py::arg("groups"), py::arg("keys"), py::arg("cells"), py::arg("values"), py::arg("objects"),
           py::arg("shown") = "")
      .def("watch", &Publisher::watch, "Remember the entries of now.")
      .def("same", &Publisher::same, "Is every watched entry still the same object?")
      .def("publish", &Publisher::publish, py::arg("clock"),
           "Write the values of an update; False, and nothing is written, if one is not usable.");
}
