#include "app/python/module.h"

#include <cctype>
#include <memory>

#include "app/python/batch.h"
#include "app/python/convert.h"
#include "base/bytes.h"
#include "base/log.h"

namespace furnace::app {
namespace {

namespace py = pybind11;
using protocol::Answer;
using protocol::Call;

/// What the functions share.
struct Shared {
  Runtime& runtime;
  std::string name;
  py::object error;  // class VmiError
};

py::object to_python(Answer kind, Value value) {
  if (auto* number = std::get_if<uint64_t>(&value)) return py::int_(*number);
  if (auto* text = std::get_if<std::string>(&value)) {
    if (kind == Answer::Bytes) return py::bytes(*text);
    return py::str(valid_utf8(*text));
  }
  if (auto* list = std::get_if<Processes>(&value)) {
    py::dict processes;
    for (const auto& process : *list) {
      py::dict entry;
      entry["name"] = py::str(valid_utf8(process.name()));
      entry["process_block_ptr"] = process.process_block_ptr();
      processes[py::int_(process.pid())] = entry;
    }
    return processes;
  }
  if (const auto* structure = std::get_if<wire::DescribeStructureRet>(&value))
    return app::to_python(*structure);
  return py::int_(0);
}

/// What 1.0 functions return for a call that failed.
py::object failed_value(Answer kind) {
  switch (kind) {
    case Answer::Text:
      return py::str("");
    case Answer::Bytes:
      return py::bytes("");
    case Answer::Processes:
    case Answer::Structure:
      return py::dict();
    case Answer::Status:
      return py::int_(1);
    default:
      return py::int_(0);
  }
}

std::vector<std::string> split(std::string_view words) {
  std::vector<std::string> result;
  while (!words.empty()) {
    const size_t end = std::min(words.find(' '), words.size());
    result.emplace_back(words.substr(0, end));
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return result;
}

/// Positional and named arguments in the order of the call's row.
std::vector<Argument> arguments_of(const Call& call, const std::vector<std::string>& names,
                                   const py::args& args, const py::kwargs& kwargs) {
  std::vector<Argument> arguments;
  for (const auto& value : args) arguments.push_back(to_argument(call.name, value));
  size_t used = 0;
  for (size_t i = arguments.size(); i < names.size() && used < kwargs.size(); ++i) {
    const bool given = kwargs.contains(names[i].c_str());
    arguments.push_back(given ? to_argument(call.name, kwargs[names[i].c_str()])
                              : Argument(std::monostate()));
    used += given ? 1 : 0;
  }
  if (used != kwargs.size() || arguments.size() > names.size())
    throw py::type_error(fmt::format("{}(): takes ({})", call.name, fmt::join(names, ", ")));
  return arguments;
}

/// `checked`: failures raise. Otherwise a call that the VMI partition answered with a failure returns 1.0's
/// value.
void define_call(py::module_& module, const std::shared_ptr<Shared>& shared, const Call& call, bool checked) {
  const auto names = split(call.arguments);
  const std::string doc = fmt::format("{}({})\n\n{}{}", call.name, fmt::join(names, ", "), call.summary,
                                      checked ? " Raises VmiError if it fails." : "");
  const auto function = [shared, &call, names, checked](const py::args& args,
                                                        const py::kwargs& kwargs) -> py::object {
    const std::vector<Argument> arguments = arguments_of(call, names, args, kwargs);
    Result<Value> result = [&] {
      const py::gil_scoped_release release;
      return shared->runtime.vmi().invoke(call, arguments);
    }();
    if (result) return to_python(call.answer, *std::move(result));
    if (PyErr_Occurred() != nullptr) throw py::error_already_set();  // interrupted by a signal
    if (!checked && result.error().code() == Errc::Failed) return failed_value(call.answer);
    python::raise(shared->error, result.error());
  };
  const std::string name(call.name);
  module.attr(name.c_str()) = py::cpp_function(function, py::name(name.c_str()), py::doc(doc.c_str()));
}

template <typename T>
T value_or_raise(const Shared& shared, Result<T> result) {
  if (result) return *std::move(result);
  if (PyErr_Occurred() != nullptr) throw py::error_already_set();
  python::raise(shared.error, result.error());
}

void define_facilities(py::module_& module, const std::shared_ptr<Shared>& shared) {
  const auto released = [shared](auto&& call) {
    const py::gil_scoped_release release;
    return call(shared->runtime.facilities());
  };
  module.attr("io_set") = py::cpp_function(
      [shared, released](const std::string& key, const std::string& value) {
        const Status stored = released([&](FacilitiesClient& client) { return client.set(key, value); });
        if (!stored) python::raise(shared->error, stored.error());
        return key;
      },
      py::doc("io_set(key, text)\n\nStores a text on disk; returns the key when the text would survive a "
              "power loss. Raises VmiError for a bad\n"
              "key (1 to 16 of A-Z a-z 0-9 _ -) or past the quota; the old value then stays."));
  module.attr("io_get") = py::cpp_function(
      [shared, released](const std::string& key) {
        return py::str(
            value_or_raise(*shared, released([&](FacilitiesClient& client) { return client.get(key); })));
      },
      py::doc("io_get(key)\n\nThe stored text. Raises VmiError if there is none."));
  module.attr("notify") = py::cpp_function(
      [shared](const std::string& text) {
        const Status sent = shared->runtime.facilities().notify(text);
        if (!sent) python::raise(shared->error, sent.error());
      },
      py::doc("notify(text)\n\nSends a text to the backend, one way. Raises VmiError if the queue to the FAC "
              "partition is full."));
  module.attr("request") = py::cpp_function(
      [shared, released](const std::string& text) {
        return py::str(value_or_raise(
            *shared, released([&](FacilitiesClient& client) { return client.request(text); })));
      },
      py::doc("request(text)\n\nAsks the backend and returns its answer. Raises VmiError if the backend "
              "fails or does not answer in time."));
}

void define_loop(py::module_& module, const std::shared_ptr<Shared>& shared) {
  const auto stop = [shared] { shared->runtime.loop().stop(); };
  module.attr("add_timer") = py::cpp_function([shared, stop](double seconds, const py::function& callback) {
    return shared->runtime.loop().add_timer(std::chrono::duration<double>(seconds), [callback, stop] {
      python::guarded_call("timer callback", callback, py::make_tuple("timer triggered"), stop);
    });
  });
  module.attr("remove_timer") =
      py::cpp_function([shared](uint64_t timer) { return shared->runtime.loop().remove_timer(timer); });
  module.attr("set_backend_callback") = py::cpp_function([shared, stop](const py::object& callback) {
    if (callback.is_none()) return shared->runtime.on_backend_message({});
    const auto function = callback.cast<py::function>();
    shared->runtime.on_backend_message([function, stop](Runtime::From from, const std::string& text) {
      python::guarded_call(
          "backend message callback", function,
          py::make_tuple(from == Runtime::From::Notify ? "notify" : "broadcast", valid_utf8(text)), stop);
    });
  });
  module.attr("set_event_callback") = py::cpp_function([shared, stop](const py::function& callback) {
    shared->runtime.on_event([callback, stop](const wire::Event& event) {
      python::guarded_call("event callback", callback, py::make_tuple(app::to_python(event)), stop);
    });
  });
  module.attr("stop_loop") = py::cpp_function(stop);
  module.attr("log") =
      py::cpp_function([shared](const std::string& text) { log::info("{}: {}", shared->name, text); },
                       py::doc("log(text)\n\nWrites a line to the partition's log."));
  module.attr("set_log_name") = py::cpp_function([shared](const std::string& name) { shared->name = name; });
}

}  // namespace

void add_frontend_module(Runtime& runtime, const std::string& app) {
  // The docstrings tell signatures themselves; pybind11's would read (*args, **kwargs).
  py::options options;
  options.disable_function_signatures();
  py::module_ module = python::add_module("_furnace");
  auto error = py::reinterpret_steal<py::object>(PyErr_NewExceptionWithDoc(
      "furnace_frontend.VmiError", "A call failed; the text names call, arguments and reason.",
      PyExc_RuntimeError, nullptr));
  module.attr("VmiError") = error;
  const auto shared = std::make_shared<Shared>(Shared{runtime, app, error});

  py::module_ checked = python::add_module("_furnace_checked");
  for (const Call& call : protocol::calls()) {
    define_call(module, shared, call, false);
    define_call(checked, shared, call, true);
  }
  module.attr("checked") = checked;
  define_facilities(module, shared);
  define_loop(module, shared);
  define_batches(module, runtime, error);

  // A signal while a call waits: let Python raise KeyboardInterrupt.
  const auto interrupt = []() -> Status {
    const py::gil_scoped_acquire acquire;
    if (PyErr_CheckSignals() != 0) return fail(Errc::Unavailable, "interrupted");
    return {};
  };
  runtime.vmi().calls().set_interrupt(interrupt);
  runtime.facilities().calls().set_interrupt(interrupt);
}

}  // namespace furnace::app
