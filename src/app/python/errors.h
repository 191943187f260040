// The exceptions of the tenant API in Python.
#pragma once

#include <pybind11/pybind11.h>

#include "app/runtime.h"
#include "base/result.h"

namespace furnace::app {

class Errors {
 public:
  /// Defines the classes in `module`.
  [[nodiscard]] static Errors make(pybind11::module_& module, Runtime& runtime);

  /// Raises Unavailable for a partition that does not answer, or takes nothing more; else VmiError.
  [[noreturn]] void raise(const Error& error) const;
  /// Makes the main thread raise Unavailable in the app's code, unless a call has raised it already: the
  /// runtime has come to its end. To be called without the interpreter's lock.
  void raise_end_later() const;

 private:
  Errors(Runtime& runtime, pybind11::object failed, pybind11::object unavailable)
      : runtime_(&runtime), failed_(std::move(failed)), unavailable_(std::move(unavailable)) {}
  Runtime* runtime_;
  pybind11::object failed_, unavailable_;
};

}  // namespace furnace::app
