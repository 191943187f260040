#include "app/python/errors.h"

#include <array>

#include "base/bytes.h"
#include "python/host.h"

namespace furnace::app {

namespace py = pybind11;

namespace {

/// A class of exceptions: its name and `code` in Python, and the class that it is a kind of.
struct Kind {
  Errc kind, base;
  const char *name, *code, *text;
};
constexpr std::array kKinds{
    Kind{Errc::Failed, Errc::Failed, "VmiError", "failed",
         "A call failed. The text names the call, its arguments and the reason; `code` and the class say "
         "which kind of failure it is."},
    Kind{Errc::Invalid, Errc::Failed, "Invalid", "invalid",
         "An argument is malformed or out of range. Don't repeat the call."},
    Kind{Errc::NotFound, Errc::Failed, "NotFound", "not_found",
         "The VM has no such symbol, type, member or process."},
    Kind{Errc::Unmapped, Errc::Failed, "NotMapped", "not_mapped",
         "Nothing backs the address. The page may be swapped out or not loaded yet."},
    Kind{Errc::Denied, Errc::Failed, "Denied", "denied", "The operator doesn't permit it."},
    Kind{Errc::Busy, Errc::Failed, "Busy", "busy",
         "A limit is reached. Clear an event or wait for an answer, then repeat the call."},
    Kind{Errc::Unavailable, Errc::Failed, "Unavailable", "unavailable",
         "A partition doesn't answer or accepts nothing more, or the VM can't do it now: it boots, or its "
         "driver lacks it. Repeat the call later."},
    Kind{Errc::Gone, Errc::Unavailable, "Gone", "gone",
         "The VM or its partition has ended for good. After this the app ends too."},
};

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
  Classes classes;
  for (const Kind& kind : kKinds) {
    const py::object base = kind.kind == kind.base ? py::reinterpret_borrow<py::object>(PyExc_RuntimeError)
                                                   : classes.at(kind.base);
    py::dict members;
    members["code"] = kind.code;
    auto made = py::reinterpret_steal<py::object>(PyErr_NewExceptionWithDoc(
        fmt::format("furnace_frontend.{}", kind.name).c_str(), kind.text, base.ptr(), members.ptr()));
    module.attr(kind.name) = made;
    classes.emplace(kind.kind, std::move(made));
  }
  return {runtime, std::move(classes)};
}

const py::object& Errors::class_of(Errc kind) const {
  const auto found = classes_.find(kind);
  return found != classes_.end() ? found->second : classes_.at(Errc::Failed);
}

void Errors::raise(const Error& error) const {
  if (error.code() == Errc::Gone) (void)runtime_->may_tell_end();
  python::raise(class_of(error.code()), error);
}

py::object Errors::exception(const Error& error) const {
  return class_of(error.code())(valid_utf8(error.message()));
}

void Errors::raise_end_later() const {
  auto end = std::make_unique<PendingEnd>(
      PendingEnd{runtime_->end_told(), class_of(Errc::Gone).ptr(), runtime_->end()->message()});
  if (Py_AddPendingCall(raise_end, end.get()) == 0) (void)end.release();  // else too many are pending
}

}  // namespace furnace::app
