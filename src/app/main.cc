// furnace-app: the APP partition, hosting a tenant's app.
#include "app/native/crash_report.h"
#include "app/native/host.h"
#include "app/python/module.h"
#include "base/log.h"
#include "base/shared_object.h"
#include "base/signals.h"
#include "partitions/app_options.h"
#include "program/program.h"

namespace {

using namespace furnace;

using partitions::AppOptions;

app::Options runtime_options(const AppOptions& options) {
  return {options.app, options.vmi, options.facilities, options.counter};
}

Status host_native(const AppOptions& options, const std::filesystem::path& file) {
  FURNACE_TRY(const Fd stop, stop_signals());
  zmq::context_t context(1);
  FURNACE_TRY(const auto runtime, app::Runtime::start(context, runtime_options(options)));
  runtime->loop().watch(stop.get(), [&] { runtime->loop().stop(); });
  app::report_crashes();
  establish();  // what follows is the tenant's
  return app::host_native_app(*runtime, file, options.app, options.metadata);
}

Status host_python(const AppOptions& options) {
  const python::Interpreter interpreter;
  FURNACE_TRY(const Fd stop, stop_signals([] { PyErr_SetInterrupt(); }));
  zmq::context_t context(1);
  FURNACE_TRY(const auto runtime, app::Runtime::start(context, runtime_options(options)));
  runtime->loop().watch(stop.get(), [&] { runtime->loop().stop(); });

  app::add_frontend_module(*runtime, options.app);
  pybind11::dict ctx;
  ctx["uuid"] = options.app;
  ctx["metadata"] = options.metadata;
  establish();  // what follows is the tenant's
  FURNACE_TRY(const pybind11::object instance, python::make_object(options.file, options.class_name, ctx));
  log::info("{}: {} {} runs", options.app, options.class_name, options.file);
  runtime->loop().run();
  python::call_shutdown(instance);
  log::info("{}: ended", options.app);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  AppOptions options;
  Program program("furnace-app", "APP partition: hosts a tenant's app");
  partitions::add_options(program.options(), options);
  return program.run(argc, argv, [&] {
    const auto native = shared_object_for(options.file);
    return native ? host_native(options, *native) : host_python(options);
  });
}
