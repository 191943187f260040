// furnace-app: the APP partition, hosting a tenant's app.
#include "app/native/host.h"
#include "app/python/module.h"
#include "base/log.h"
#include "base/shared_object.h"
#include "base/signals.h"
#include "program/program.h"

namespace {

using namespace furnace;

struct Options {
  app::Options runtime;
  std::string file;
  std::string class_name = "App";
  std::string metadata;
};

Status host_native(const Options& options, const std::filesystem::path& file) {
  FURNACE_TRY(const Fd stop, stop_signals());
  zmq::context_t context(1);
  FURNACE_TRY(const auto runtime, app::Runtime::start(context, options.runtime));
  runtime->loop().watch(stop.get(), [&] { runtime->loop().stop(); });
  return app::host_native_app(*runtime, file, options.runtime.app, options.metadata);
}

Status host_python(const Options& options) {
  const python::Interpreter interpreter;
  FURNACE_TRY(const Fd stop, stop_signals([] { PyErr_SetInterrupt(); }));
  zmq::context_t context(1);
  FURNACE_TRY(const auto runtime, app::Runtime::start(context, options.runtime));
  runtime->loop().watch(stop.get(), [&] { runtime->loop().stop(); });

  app::add_frontend_module(*runtime, options.runtime.app);
  pybind11::dict ctx;
  ctx["uuid"] = options.runtime.app;
  ctx["metadata"] = options.metadata;
  FURNACE_TRY(const pybind11::object instance, python::make_object(options.file, options.class_name, ctx));
  log::info("{}: {} {} runs", options.runtime.app, options.class_name, options.file);
  runtime->loop().run();
  python::call_shutdown(instance);
  log::info("{}: ended", options.runtime.app);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  Program program("furnace-app", "APP partition: hosts a tenant's app");
  auto& flags = program.options();
  flags
      .add_option("-c,--code", options.file,
                  "The app's file without its suffix: FILE.py, or FILE.so for one in C++")
      ->required();
  flags.add_option("-m,--class", options.class_name, "Its class")->capture_default_str();
  flags.add_option("--u2,--app", options.runtime.app, "The app's id")->required();
  flags.add_option("--md,--metadata", options.metadata, "Text that the app gets as ctx['metadata']");
  flags.add_option("--fac", options.runtime.facilities, "Directory of FAC's sockets")->capture_default_str();
  flags.add_option("--vmi", options.runtime.vmi, "Directory of the VMI partition's socket")
      ->capture_default_str();
  return program.run(argc, argv, [&] {
    const auto native = shared_object_for(options.file);
    return native ? host_native(options, *native) : host_python(options);
  });
}
