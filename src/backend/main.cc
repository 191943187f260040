// furnace-backend: hosts a tenant's Python backend.
#include "backend/backend.h"
#include "backend/native/host.h"
#include "base/bytes.h"
#include "base/log.h"
#include "base/shared_object.h"
#include "base/signals.h"
#include "program/program.h"
#include "python/host.h"

namespace {

using namespace furnace;
namespace py = pybind11;

struct Options {
  backend::Options backend;
  std::string file;
  std::string class_name = "AppBE";
  std::string app_key, backend_key;
};

void raise_if_failed(const Status& status) {
  if (!status) python::raise(py::reinterpret_borrow<py::object>(PyExc_RuntimeError), status.error());
}

/// The native half of `be`: module _furnace_backend.
void add_backend_module(backend::Backend& backend, zmq::context_t& context, const std::string& name) {
  py::module_ module = python::add_module("_furnace_backend");
  backend::Backend* self = &backend;
  const auto stop = [self] { self->loop().stop(); };
  const auto log_name = std::make_shared<std::string>(name);
  module.attr("notify") = py::cpp_function(
      [self](const std::string& app, const std::string& text) { raise_if_failed(self->notify(app, text)); });
  module.attr("broadcast") =
      py::cpp_function([self](const std::string& text) { raise_if_failed(self->broadcast(text)); });
  module.attr("add_timer") = py::cpp_function([self, stop](double seconds, const py::function& callback) {
    return self->loop().add_timer(std::chrono::duration<double>(seconds), [callback, stop] {
      python::guarded_call("timer callback", callback, py::make_tuple("timer triggered"), stop);
    });
  });
  module.attr("remove_timer") =
      py::cpp_function([self](uint64_t timer) { return self->loop().remove_timer(timer); });
  module.attr("set_message_callback") = py::cpp_function([self, stop](const py::object& callback) {
    if (callback.is_none()) return self->on_message({});
    const auto function = callback.cast<py::function>();
    self->on_message([function, stop](const backend::Message& message) -> Result<std::string> {
      const py::object answer = python::guarded_call(
          "message callback", function,
          py::make_tuple(message.app, message.wants_answer, valid_utf8(message.text)), stop);
      if (!answer) return fail(Errc::Failed, "the backend's callback raised");
      if (!message.wants_answer) return std::string();
      if (!py::isinstance<py::str>(answer))
        return fail(Errc::Failed, "the backend's callback did not return text");
      return answer.cast<std::string>();
    });
  });
  module.attr("stop_loop") = py::cpp_function(stop);
  module.attr("log") =
      py::cpp_function([log_name](const std::string& text) { log::info("{}: {}", *log_name, text); });
  module.attr("set_log_name") = py::cpp_function([log_name](const std::string& text) { *log_name = text; });
  module.attr("context_address") = reinterpret_cast<uintptr_t>(context.handle());
}

Status load_keys(Options& options) {
  FURNACE_TRY(options.backend.own, protocol::load_secret(options.backend_key));
  FURNACE_TRY(const protocol::Certificate app, protocol::load_public(options.app_key));
  options.backend.app_key = app.public_key;
  return {};
}

Status host_native(Options& options, const std::filesystem::path& file) {
  FURNACE_TRY(const Fd stop, stop_signals());
  FURNACE_CHECK(load_keys(options));
  zmq::context_t context(1);
  FURNACE_TRY(const auto backend, backend::Backend::open(context, options.backend));
  backend->loop().watch(stop.get(), [&] { backend->loop().stop(); });
  log::info("listening on {}:{}", options.backend.ip, options.backend.port);
  FURNACE_CHECK(backend::host_native_backend(*backend, file));
  log::info("stopped");
  return {};
}

Status host_python(Options& options) {
  const python::Interpreter interpreter;
  FURNACE_TRY(const Fd stop, stop_signals([] { PyErr_SetInterrupt(); }));
  FURNACE_CHECK(load_keys(options));
  zmq::context_t context(1);
  FURNACE_TRY(const auto backend, backend::Backend::open(context, options.backend));
  backend->loop().watch(stop.get(), [&] { backend->loop().stop(); });

  add_backend_module(*backend, context, options.class_name);
  FURNACE_TRY(const py::object instance, python::make_object(options.file, options.class_name, py::dict()));
  if (!backend->has_callback() && !backend->loop().stopped())
    return fail(Errc::Invalid,
                "{}.py: {} registers no callback for messages: call "
                "be.event_register({{'event_type': be.FE, 'callback': f}}) in its constructor",
                options.file, options.class_name);
  log::info("listening on {}:{}", options.backend.ip, options.backend.port);
  backend->loop().run();
  python::call_shutdown(instance);
  log::info("stopped");
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  Program program("furnace-backend", "Tenant backend: hosts a class that gets an app's messages");
  auto& flags = program.options();
  flags
      .add_option("-c,--code", options.file,
                  "The backend's file without its suffix: FILE.py, or FILE.so for one in C++")
      ->required();
  flags.add_option("-m,--class", options.class_name, "Its class")->capture_default_str();
  flags.add_option("--ep", options.backend.ip, "Address to listen on")->required();
  flags.add_option("--et", options.backend.port, "Port to listen on, and the next")->capture_default_str();
  flags.add_option("--ak,--app-key", options.app_key, "The app's key; only its public half is needed")
      ->required();
  flags.add_option("--bk,--backend-key", options.backend_key, "The backend's secret key, be.key")->required();
  return program.run(argc, argv, [&] {
    const auto native = shared_object_for(options.file);
    return native ? host_native(options, *native) : host_python(options);
  });
}
