#include "app/python/module.h"

#include <cctype>
#include <memory>

#include "app/python/batch.h"
#include "app/python/convert.h"
#include "app/python/errors.h"
#include "base/bytes.h"
#include "base/log.h"
#include "base/printable.h"
#include "base/text.h"
#include "python/content.h"
#include "python/loop_functions.h"

namespace furnace::app {
namespace {

namespace py = pybind11;
using protocol::AnswerKind;
using protocol::Call;

/// What the functions share.
struct Shared {
  Runtime& runtime;
  Errors errors;
};

py::object to_python(AnswerKind kind, Value value) {
  if (auto* number = std::get_if<uint64_t>(&value)) return py::int_(*number);
  if (auto* text = std::get_if<std::string>(&value)) {
    if (kind == AnswerKind::Bytes) return py::bytes(*text);
    return py::str(valid_utf8(*text));
  }
  if (auto* list = std::get_if<Processes>(&value)) {
    py::dict processes;
    for (const auto& process : *list) {
      py::dict entry;
      entry["name"] = py::str(valid_utf8(process.name()));
      entry["process_block_ptr"] = process.process_block_ptr();
      if (process.has_problem()) entry["problem"] = py::str(valid_utf8(process.problem()));
      processes[py::int_(process.pid())] = entry;
    }
    return processes;
  }
  if (const auto* structure = std::get_if<wire::DescribeStructureRet>(&value))
    return app::to_python(*structure);
  return py::int_(0);
}

/// What 1.0 functions return for a call that failed.
py::object failed_value(AnswerKind kind) {
  switch (kind) {
    case AnswerKind::Text:
      return py::str("");
    case AnswerKind::Bytes:
      return py::bytes("");
    case AnswerKind::Processes:
    case AnswerKind::Structure:
      return py::dict();
    case AnswerKind::Status:
      return py::int_(1);
    default:
      return py::int_(0);
  }
}

/// Returns false for the calls whose arguments have defaults.
bool takes_all_arguments(const Call& call) {
  return call.verb != protocol::Verb::EventRegister && call.verb != protocol::Verb::GetVcpureg &&
         call.verb != protocol::Verb::StartSyscall;
}

/// Positional and named arguments in the order of the call's row.
std::vector<Argument> arguments_of(const Call& call, const std::vector<std::string>& names,
                                   const py::args& args, const py::kwargs& kwargs) {
  if (args.size() > names.size())
    throw py::type_error(fmt::format("{}(): takes ({})", call.name, fmt::join(names, ", ")));
  for (const auto& [key, value] : kwargs) {
    const auto name = key.cast<std::string>();
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end())
      throw py::type_error(fmt::format("{}(): unknown argument '{}': takes ({})", call.name, printable(name),
                                       fmt::join(names, ", ")));
    if (static_cast<size_t>(found - names.begin()) < args.size())
      throw py::type_error(fmt::format("{}(): '{}' is given twice", call.name, name));
  }
  std::vector<Argument> arguments;
  for (size_t i = 0; i < names.size(); ++i) {
    const char* const name = names[i].c_str();
    if (i < args.size()) {
      arguments.push_back(to_argument(call.name, name, args[i]));
    } else {
      arguments.push_back(kwargs.contains(name) ? to_argument(call.name, name, kwargs[name])
                                                : Argument(std::monostate()));
    }
  }
  // A pid that is left out by mistake must not mean the kernel's address space.
  if (takes_all_arguments(call))
    for (size_t i = 0; i < names.size(); ++i)
      if (std::holds_alternative<std::monostate>(arguments[i]))
        throw py::type_error(
            fmt::format("{}(): {} is missing: takes ({})", call.name, names[i], fmt::join(names, ", ")));
  return arguments;
}

/// `checked`: failures raise. Otherwise a call that the VMI partition answered with a failure returns 1.0's
/// value.
void define_call(py::module_& module, const std::shared_ptr<Shared>& shared, const Call& call, bool checked) {
  const auto listed = words(call.arguments);
  const std::vector<std::string> names(listed.begin(), listed.end());
  const std::string doc = fmt::format("{}({})\n\n{}{}", call.name, fmt::join(names, ", "), call.summary,
                                      checked ? " Raises VmiError if it fails." : "");
  const auto function = [shared, &call, names, checked](const py::args& args,
                                                        const py::kwargs& kwargs) -> py::object {
    const std::vector<Argument> arguments = arguments_of(call, names, args, kwargs);
    Result<Result<Value>> answered = [&] {
      const py::gil_scoped_release release;
      return shared->runtime.vmi().ask(call, arguments);
    }();
    if (answered && *answered) return to_python(call.answer, **std::move(answered));
    if (PyErr_Occurred() != nullptr) throw py::error_already_set();  // interrupted by a signal
    if (answered && !checked) return failed_value(call.answer);
    shared->errors.raise(answered ? answered->error() : answered.error());
  };
  const std::string name(call.name);
  module.attr(name.c_str()) = py::cpp_function(function, py::name(name.c_str()), py::doc(doc.c_str()));
}

template <typename T>
T value_or_raise(const Shared& shared, Result<T> result) {
  if (result) return *std::move(result);
  if (PyErr_Occurred() != nullptr) throw py::error_already_set();
  shared.errors.raise(result.error());
}

void raise_if_failed(const Shared& shared, const Status& status) {
  if (status) return;
  if (PyErr_Occurred() != nullptr) throw py::error_already_set();
  shared.errors.raise(status.error());
}

void define_facilities(py::module_& module, const std::shared_ptr<Shared>& shared) {
  const auto released = [shared](auto&& call) {
    const py::gil_scoped_release release;
    return call(shared->runtime.facilities());
  };
  module.attr("io_set") = py::cpp_function(
      [shared, released](const std::string& key, const std::string& value) {
        const Status stored = released([&](FacilitiesClient& client) { return client.set(key, value); });
        raise_if_failed(*shared, stored);
        return key;
      },
      py::name("io_set"), py::arg("key"), py::arg("text"),
      py::doc("io_set(key, text)\n\nStores a text on disk; returns the key when the text would survive a "
              "power loss. Raises VmiError for a bad\n"
              "key (1 to 16 of A-Z a-z 0-9 _ -) or past the quota; the old value then stays."));
  module.attr("io_get") = py::cpp_function(
      [shared, released](const std::string& key) {
        return py::str(
            value_or_raise(*shared, released([&](FacilitiesClient& client) { return client.get(key); })));
      },
      py::name("io_get"), py::arg("key"),
      py::doc("io_get(key)\n\nThe stored text. Raises VmiError if there is none."));
  module.attr("io_list") = py::cpp_function(
      [shared, released] {
        const auto stored =
            value_or_raise(*shared, released([](FacilitiesClient& client) { return client.list(); }));
        py::dict sizes;
        for (const auto& [key, size] : stored.sizes) sizes[py::str(key)] = size;
        return sizes;
      },
      py::name("io_list"),
      py::doc("io_list()\n\nThe stored keys, and how many bytes the value of each has."));
  module.attr("io_usage") = py::cpp_function(
      [shared, released] {
        const auto stored =
            value_or_raise(*shared, released([](FacilitiesClient& client) { return client.list(); }));
        return py::make_tuple(stored.used, stored.quota);
      },
      py::name("io_usage"), py::doc("io_usage()\n\n(bytes of all stored values, bytes that may be stored)."));
  module.attr("io_delete") = py::cpp_function(
      [shared, released](const std::string& key) {
        const Status removed = released([&](FacilitiesClient& client) { return client.remove(key); });
        raise_if_failed(*shared, removed);
      },
      py::name("io_delete"), py::arg("key"),
      py::doc("io_delete(key)\n\nRemoves a stored value. Raises VmiError if there is none."));
}

/// Whether a message was taken; what FAC has no room for raises only where the app asks for that.
bool taken(const Shared& shared, const Status& sent, bool raises) {
  if (sent) return true;
  if (PyErr_Occurred() != nullptr) throw py::error_already_set();
  if (raises) shared.errors.raise(sent.error());
  log::debug("{}", sent.error().message());
  return false;
}

constexpr const char* kNotifyDoc =
    "Sends {0} to the backend, one way. True: it was taken. False: so much waits for the backend already "
    "that\n"
    "it was not; with raises=True that is a VmiError. With durable=True it is on disk when this returns, and "
    "is\n"
    "delivered whatever ends and starts again meanwhile; the backend gets such messages in order, once.";

void define_messages(py::module_& module, const std::shared_ptr<Shared>& shared) {
  const auto notify = [shared](Content content, bool durable, bool raises) {
    const Status sent = [&] {
      const py::gil_scoped_release release;
      FacilitiesClient& client = shared->runtime.facilities();
      return durable ? client.notify_durably(std::move(content)) : client.notify(std::move(content));
    }();
    return taken(*shared, sent, raises);
  };
  module.attr("notify") = py::cpp_function(
      [notify](const std::string& text, bool durable, bool raises) { return notify(text, durable, raises); },
      py::name("notify"), py::arg("text"), py::arg("durable") = false, py::arg("raises") = false,
      py::doc(("notify(text, durable=False, raises=False)\n\n" + fmt::format(kNotifyDoc, "a text")).c_str()));
  module.attr("notify_bytes") = py::cpp_function(
      [notify](const py::bytes& data, bool durable, bool raises) {
        return notify(Content(std::string_view(data), true), durable, raises);
      },
      py::name("notify_bytes"), py::arg("data"), py::arg("durable") = false, py::arg("raises") = false,
      py::doc(("notify_bytes(data, durable=False, raises=False)\n\n" + fmt::format(kNotifyDoc, "bytes"))
                  .c_str()));
  const auto request = [shared](Content content, double timeout) {
    if (!(timeout > 0) || timeout > 86400)
      throw py::value_error("request: 'timeout' must be a number of seconds above 0, at most a day");
    const std::chrono::duration<double, std::milli> time(timeout * 1000);
    auto answer = [&] {
      const py::gil_scoped_release release;
      return shared->runtime.facilities().request(std::move(content),
                                                  std::chrono::ceil<std::chrono::milliseconds>(time));
    }();
    return value_or_raise(*shared, std::move(answer));
  };
  module.attr("request") = py::cpp_function(
      [shared, request](const std::string& text, double timeout) {
        const Received answer = request(text, timeout);
        if (answer.is_bytes)
          shared->errors.raise(
              {Errc::Invalid, "request: the backend answered with bytes: use request_bytes"});
        return py::str(valid_utf8(answer.content));
      },
      py::name("request"), py::arg("text"), py::arg("timeout") = 30.0,
      py::doc("request(text, timeout=30.0)\n\nAsks the backend and returns its answer. Raises VmiError if "
              "the backend fails, or "
              "does not answer within\nso many seconds; the next request works."));
  module.attr("request_bytes") = py::cpp_function(
      [request](const py::bytes& data, double timeout) {
        return py::bytes(request(Content(std::string_view(data), true), timeout).content);
      },
      py::name("request_bytes"), py::arg("data"), py::arg("timeout") = 30.0,
      py::doc("request_bytes(data, timeout=30.0)\n\nThe same with bytes; the answer is bytes too (a text's "
              "UTF-8)."));
  module.attr("traceparent") = py::cpp_function(
      [shared]() -> py::object {
        const auto trace = shared->runtime.facilities().trace();
        if (!trace) return py::none();
        return py::str(protocol::traceparent(trace));
      },
      py::name("traceparent"),
      py::doc("traceparent()\n\nIn the callback of an event of the VM: the W3C traceparent of what it began, "
              "which messages to the "
              "backend\ncarry by themselves. None elsewhere."));
}

void define_loop(py::module_& module, const std::shared_ptr<Shared>& shared, const std::string& app) {
  const auto callbacks = python::define_loop_functions(module, shared->runtime.loop(), app);
  module.attr("set_backend_callback") = py::cpp_function([shared, callbacks](const py::object& callback) {
    if (callback.is_none()) return shared->runtime.on_backend_message({});
    const auto function = callback.cast<py::function>();
    shared->runtime.on_backend_message([function, callbacks](Runtime::From from, const Received& message) {
      callbacks->call("backend message callback", function,
                      py::make_tuple(from == Runtime::From::Notify ? "notify" : "broadcast",
                                     python::object_of(message), message.lost));
    });
  });
  module.attr("set_event_callback") = py::cpp_function([shared, callbacks](const py::function& callback) {
    shared->runtime.on_event([callback, callbacks](const wire::Event& event) {
      callbacks->call("event callback", callback, py::make_tuple(app::to_python(event)));
    });
  });
  module.attr("set_vmi_again_callback") = py::cpp_function([shared, callbacks](const py::function& callback) {
    shared->runtime.on_vmi_again([callback, callbacks] {
      callbacks->call("on_end callback", callback, py::make_tuple(Runtime::kRegisteredBefore));
    });
  });
  module.attr("vmi_losses") = py::cpp_function([shared] { return shared->runtime.vmi_losses(); });
}

}  // namespace

std::function<void()> add_frontend_module(Runtime& runtime, const std::string& app) {
  // The docstrings tell signatures themselves; pybind11's would read (*args, **kwargs).
  py::options options;
  options.disable_function_signatures();
  py::module_ module = python::add_module("_furnace");
  const Errors errors = Errors::make(module, runtime);
  const auto shared = std::make_shared<Shared>(Shared{runtime, errors});

  py::module_ checked = python::add_module("_furnace_checked");
  for (const Call& call : protocol::calls()) {
    define_call(module, shared, call, false);
    define_call(checked, shared, call, true);
  }
  module.attr("checked") = checked;
  define_facilities(module, shared);
  define_messages(module, shared);
  define_loop(module, shared, app);
  define_batches(module, runtime, errors);

  // A signal while a call waits: let Python raise KeyboardInterrupt.
  const auto interrupt = []() -> Status {
    const py::gil_scoped_acquire acquire;
    if (PyErr_CheckSignals() != 0) return fail(Errc::Failed, "interrupted");  // not to be tried again
    return {};
  };
  runtime.vmi().call_socket().set_interrupt(interrupt);
  runtime.facilities().call_socket().set_interrupt(interrupt);
  return [shared] { shared->errors.raise_end_later(); };
}

}  // namespace furnace::app
