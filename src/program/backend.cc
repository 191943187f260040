// furnace-backend: hosts a tenant's backend, in Python or C++.

#include "backend/backend.h"

#include "backend/native/host.h"
#include "backend/sinks/feeder.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/log.h"
#include "base/shared_object.h"
#include "base/signals.h"
#include "base/text.h"
#include "command_line/bounded_option.h"
#include "command_line/program.h"
#include "python/content.h"
#include "python/host.h"
#include "python/loop_functions.h"

namespace {

using namespace furnace;
namespace py = pybind11;

struct Options {
  backend::Options backend;
  std::string file;
  std::string class_name = "AppBE";
  std::vector<std::string> app_keys;
  std::string apps, backend_key, state, metrics, header_file;
  std::vector<std::string> sinks;
  bool router = false;
};

void raise_if_failed(const Status& status) {
  if (!status) python::raise(py::reinterpret_borrow<py::object>(PyExc_RuntimeError), status.error());
}

backend::Backend::Callback python_callback(const py::function& function,
                                           const std::shared_ptr<python::Callbacks>& callbacks) {
  // Released with the interpreter's lock held, wherever the last copy goes.
  const std::shared_ptr<py::function> shared(new py::function(function), [](py::function* held) {
    const py::gil_scoped_acquire acquire;
    delete held;
  });
  return [shared, callbacks](const backend::Message& message) -> Result<protocol::Content> {
    const py::gil_scoped_acquire acquire;
    const py::object answer = callbacks->call(
        "message callback", *shared,
        py::make_tuple(python::text_of(message.app), message.wants_answer, python::object_of(message),
                       python::text_of(message.id), python::text_of(message.traceparent)));
    if (!answer) {
      FURNACE_CHECK(check_interrupted());  // it raised KeyboardInterrupt: our own stop signal
      return fail(Errc::Failed, "the backend's callback raised");
    }
    if (!message.wants_answer) return protocol::Content();
    if (!py::isinstance<py::str>(answer) && !py::isinstance<py::bytes>(answer))
      return fail(Errc::Failed, "the backend's callback did not return text or bytes");
    try {
      return python::content_of(answer, "message callback");
    } catch (py::error_already_set& raised) {  // text with half a surrogate pair
      return fail(Errc::Failed, "the backend's callback returned what is no text: {}", raised.what());
    }
  };
}

/// The native half of `be`: module _furnace_backend.
void add_backend_module(backend::Backend& backend, zmq::context_t& context, const std::string& name) {
  py::module_ module = python::add_module("_furnace_backend");
  backend::Backend* self = &backend;
  const auto callbacks = python::define_loop_functions(module, self->loop(), name);
  module.attr("notify") = py::cpp_function([self](const std::string& app, const py::object& content) {
    raise_if_failed(self->notify(app, python::content_of(content, "notify")));
  });
  module.attr("broadcast") = py::cpp_function([self](const py::object& content) {
    raise_if_failed(self->broadcast(python::content_of(content, "broadcast")));
  });
  module.attr("set_message_callback") = py::cpp_function([self, callbacks](const py::object& callback) {
    if (callback.is_none()) return self->on_message({});
    self->on_message(python_callback(callback.cast<py::function>(), callbacks));
  });
  module.attr("context_address") = reinterpret_cast<uintptr_t>(context.handle());
}

Status load_keys(Options& options) {
  FURNACE_TRY(options.backend.own, protocol::load_secret(options.backend_key));
  options.backend.own_file = options.backend_key;
  if (options.app_keys.empty() && options.apps.empty())
    return fail(Errc::Invalid, "whose messages are taken? Give --ak app.pub, or --apps DIRECTORY");
  for (const std::string& file : options.app_keys) {
    FURNACE_CHECK(options.backend.allowed.add_file(file));
    FURNACE_TRY(const protocol::Certificate app, protocol::load_public(file));
    FURNACE_CHECK(protocol::check_distinct(app, options.backend.own, file, options.backend_key));
  }
  if (!options.apps.empty()) {
    // One bad file must not keep all other apps out.
    if (auto read = options.backend.allowed.add_directory(options.apps); !read) {
      if (options.backend.allowed.keys() == 0) return read;
      log::warning("{}", read.error().message());
    }
  }
  return {};
}

/// Where it is kept what durable messages were delivered: beside the backend's key, unless that can't be
/// written to.
void open_progress(Options& options) {
  const bool chosen = !options.state.empty();
  const std::filesystem::path directory =
      chosen ? std::filesystem::path(options.state)
             : std::filesystem::absolute(options.backend_key).parent_path() / "delivered";
  auto progress = backend::Progress::open(directory);
  if (progress) {
    options.backend.progress = *std::move(progress);
  } else {
    log::warning("{}: durable messages may come twice after a restart{}", progress.error().message(),
                 chosen ? "" : " (--state names another directory)");
  }
}

using Feeders = std::vector<std::unique_ptr<backend::Feeder>>;

Result<Feeders> open_sinks(const Options& options) {
  std::vector<std::string> headers;
  if (!options.header_file.empty()) {
    FURNACE_TRY(const std::string text, read_file(options.header_file, 64 << 10));
    for (const std::string_view line : lines(text))
      if (!line.empty()) headers.emplace_back(line);
  }
  Feeders feeders;
  for (const std::string& description : options.sinks) {
    FURNACE_TRY(auto sink, backend::make_sink(description, headers));
    feeders.push_back(std::make_unique<backend::Feeder>(description, std::move(sink)));
  }
  return feeders;
}

Result<std::unique_ptr<backend::Backend>> open_backend(zmq::context_t& context, Options& options,
                                                       const Feeders& feeders) {
  FURNACE_TRY(options.backend.metrics, MetricsSocket::make(options.metrics, -1));
  options.backend.mode = options.router ? backend::Mode::Router : backend::Mode::Dealer;
  open_progress(options);
  FURNACE_TRY(auto backend, backend::Backend::open(context, std::move(options.backend)));
  if (!feeders.empty())
    backend->on_record([&feeders](const backend::Message& message) {
      for (const auto& feeder : feeders) feeder->add(message);
    });
  return backend;
}

Status host_native(Options& options, const std::filesystem::path& file) {
  FURNACE_TRY(const Fd stop, stop_signals());
  FURNACE_CHECK(load_keys(options));
  FURNACE_TRY(const Feeders feeders, open_sinks(options));
  const std::string where = fmt::format("{}:{}", options.backend.ip, options.backend.port);
  zmq::context_t context(1);
  FURNACE_TRY(const auto backend, open_backend(context, options, feeders));
  log::info("listening on {}", where);
  report_ready();
  FURNACE_CHECK(backend::host_native_backend(*backend, file, stop.get()));
  log::info("stopped");
  return {};
}

Status host_python(Options& options) {
  const python::Interpreter interpreter;
  FURNACE_TRY(const Fd stop, stop_signals([] { PyErr_SetInterrupt(); }));
  FURNACE_CHECK(load_keys(options));
  FURNACE_TRY(const Feeders feeders, open_sinks(options));
  const std::string where = fmt::format("{}:{}", options.backend.ip, options.backend.port);
  zmq::context_t context(1);
  FURNACE_TRY(const auto backend, open_backend(context, options, feeders));
  // Workers, and threads of the tenant's own, run while the loop sleeps.
  backend->loop().set_sleep([](const std::function<void()>& wait) {
    const py::gil_scoped_release release;
    wait();
  });

  add_backend_module(*backend, context, options.class_name);
  FURNACE_TRY(const py::object instance, python::make_object(options.file, options.class_name, py::dict()));
  if (!backend->has_callback() && !backend->loop().stopped())
    return fail(Errc::Invalid,
                "{}.py: {} registers no callback for messages: call "
                "be.event_register({{'event_type': be.FE, 'callback': f}}) in its constructor",
                options.file, options.class_name);
  log::info("listening on {}", where);
  report_ready();
  backend->run(stop.get());
  {
    const py::gil_scoped_release release;  // a callback that still runs needs it to end
    backend->join_workers();
  }
  backend->on_message({});
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
  flags.add_option("-m,--class", options.class_name, "The backend's class")->capture_default_str();
  flags.add_option("--ep", options.backend.ip, "Address to listen on")->required();
  flags.add_option("--et", options.backend.port, "Port to listen on; the next one is used too")
      ->check(within(bounds::kPairOfPorts))
      ->capture_default_str();
  flags.add_option("--ak,--app-key", options.app_keys,
                   "Key of an app that may connect; the public half is enough; may be repeated");
  flags.add_option(
      "--apps", options.apps,
      "Directory of the keys of many apps, as APP.pub or APP/app.pub; read again when it changes");
  flags.add_option("--bk,--backend-key", options.backend_key, "The backend's secret key, be.key")->required();
  flags.add_flag(
      "--router", options.router,
      "Serve many apps at one port, through blind proxies or directly; default: serve one app through its "
      "message proxy");
  flags
      .add_option("--workers", options.backend.workers,
                  "Threads that call the callback, for one app one call at a time; 0: the main loop calls it")
      ->check(within({0, 256}))
      ->capture_default_str();
  flags.add_option(
      "--state", options.state,
      "Directory to record which durable messages were delivered; default: 'delivered' next to be.key");
  flags.add_option("--metrics", options.metrics,
                   "Show counters as Prometheus text at ADDRESS:PORT or at a socket's path");
  flags.add_option(
      "--sink", options.sinks,
      "Store messages in addition to the callback, may be repeated: file:PATH[,rotate=BYTES][,keep=N] (JSON "
      "lines), "
      "syslog[:SOCKET], journald[:SOCKET], webhook:URL, otlp:URL (OpenTelemetry logs, OTLP/HTTP JSON)");
  flags.add_option(
      "--sink-headers", options.header_file,
      "File of 'Name: value' lines that webhook and otlp send as headers, such as Authorization");
  return program.run(argc, argv, [&] {
    const auto native = shared_object_for(options.file);
    return native ? host_native(options, *native) : host_python(options);
  });
}
