#include "app/python/errors.h"

#include "python/host.h"

namespace furnace::app {

namespace py = pybind11;

namespace {

/// What the main thread will raise, perhaps when the runtime is no more.
struct PendingEnd {
  std::shared_ptr<std::atomic<bool>> is_told;
  PyObject* type;
  std::string text;
};

int raise_end(void* pending) {
  const std::unique_ptr<PendingEnd> end(static_cast<PendingEnd*>(pending));
  if (end->is_told->exchange(true)) return 0;
  PyErr_SetString(end->type, end->text.c_str());
  return -1;
}

}  // namespace

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
  auto end = std::make_unique<PendingEnd>(
      PendingEnd{runtime_->end_told(), unavailable_.ptr(), runtime_->end()->message()});
  if (Py_AddPendingCall(raise_end, end.get()) == 0) (void)end.release();  // else too many are pending
}

}  // namespace furnace::app
