// The exceptions of the tenant API in Python.
#pragma once

#include <pybind11/pybind11.h>

#include <map>

#include "app/runtime.h"
#include "base/result.h"

namespace furnace::app {

class Errors {
 public:
  /// Defines the classes in `module`.
  [[nodiscard]] static Errors make(pybind11::module_& module, Runtime& runtime);

  /// Raises the class for this kind of error.
  [[noreturn]] void raise(const Error& error) const;
  /// What `raise` raises.
  [[nodiscard]] pybind11::object exception(const Error& error) const;
  /// Makes the main thread raise Unavailable in the app's code, unless a call has raised it already: the
  /// runtime has come to its end. To be called without the interpreter's lock.
  void raise_end_later() const;

 private:
  using Classes = std::map<Errc, pybind11::object>;
  Errors(Runtime& runtime, Classes classes) : runtime_(&runtime), classes_(std::move(classes)) {}
  [[nodiscard]] const pybind11::object& class_of(Errc kind) const;

  Runtime* runtime_;
  Classes classes_;
};

}  // namespace furnace::app
