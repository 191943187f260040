#include "app/python/errors.h"

#include "python/host.h"

namespace furnace::app {

namespace py = pybind11;

Errors Errors::make(py::module_& module, Runtime& runtime) {
  const auto define = [&module](const char* name, const char* text, const py::handle& base) {
    auto made = py::reinterpret_steal<py::object>(PyErr_NewExceptionWithDoc(
        fmt::format("furnace_frontend.{}", name).c_str(), text, base.ptr(), nullptr));
    module.attr(name) = made;
    return made;
  };
  auto failed =
      define("VmiError", "A call failed; the text names call, arguments and reason.", PyExc_RuntimeError);
  auto unavailable =
      define("Unavailable",
             "A partition does not answer, takes nothing more, or has ended. When the VMI partition has "
             "ended for good the app ends too, after this.",
             failed);
  return {runtime, std::move(failed), std::move(unavailable)};
}

void Errors::raise(const Error& error) const {
  const bool is_end = error.code() == Errc::Gone;
  if (is_end) (void)runtime_->may_tell_end();
  python::raise(is_end || error.code() == Errc::Unavailable ? unavailable_ : failed_, error);
}

void Errors::raise_end_later() const {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): Python's type
  Py_AddPendingCall(raise_end, const_cast<Errors*>(this));
}

int Errors::raise_end(void* errors) {
  const auto& self = *static_cast<const Errors*>(errors);
  const auto end = self.runtime_->end();
  if (!end || !self.runtime_->may_tell_end()) return 0;
  PyErr_SetString(self.unavailable_.ptr(), end->message().c_str());
  return -1;
}

}  // namespace furnace::app
