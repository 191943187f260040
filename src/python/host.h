// Python in our processes: the interpreter, a tenant's class loaded from a file, its callbacks.
#pragma once

#include <pybind11/embed.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace furnace::python {

namespace py = pybind11;

/// The interpreter, for as long as this lives, with our modules' directory on the path. Make it first, before
/// `stop_signals` (whose handlers replace Python's) and before what holds Python objects.
class Interpreter {
 public:
  Interpreter();

 private:
  py::scoped_interpreter interpreter_;
};

/// A new module `name` that can be imported from now on; functions set on it may capture what they work on.
[[nodiscard]] py::module_ add_module(const char* name);

/// Makes an object of `class_name` in FILE (without its .py). The traceback of what it raises goes to the
/// log.
[[nodiscard]] Result<py::object> make_object(const std::string& file_without_suffix,
                                             const std::string& class_name, const py::object& argument);

/// Calls back into tenant code. For use with the interpreter's lock held.
class Callbacks {
 public:
  /// `exit` is called when a callback raises SystemExit.
  explicit Callbacks(std::function<void()> exit) : exit_(std::move(exit)) {}

  /// Returns the result, or a null object if the callback raised. What it raises ends nothing. It is logged
  /// with its traceback when it is raised at that place for the first time; after that it is counted, and the
  /// count is logged at 10, 100, 1000, ...
  py::object call(std::string_view what, const py::function& callback, const py::tuple& arguments);

 private:
  void note(std::string_view what, py::error_already_set& raised);

  std::function<void()> exit_;
  std::map<std::string, uint64_t> raised_;  ///< how often, by type of error and place
};

/// Calls the optional method `shutdown()`.
void call_shutdown(const py::object& object);

/// An exception of class `type` with an error's text.
[[noreturn]] void raise(const py::object& type, const Error& error);

}  // namespace furnace::python
