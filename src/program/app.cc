// furnace-app: the APP partition, hosting a tenant's app.
#include "launch/options/app.h"

#include "app/native/crash_report.h"
#include "app/native/host.h"
#include "app/python/module.h"
#include "base/log.h"
#include "base/shared_object.h"
#include "base/signals.h"
#include "command_line/program.h"
#include "launch/options/exit_codes.h"

namespace {

using namespace furnace;

using launch::AppOptions;

app::Options runtime_options(const AppOptions& options) {
  return {options.app, options.vmi, options.facilities, options.counter,
          std::chrono::seconds(options.wait_for_vm)};
}

Status host_native(const AppOptions& options, const std::filesystem::path& file, bool& is_made) {
  FURNACE_TRY(const Fd stop, stop_signals());
  zmq::context_t context(1);
  FURNACE_TRY(const auto runtime, app::Runtime::start(context, runtime_options(options)));
  runtime->loop().watch(stop.get(), [&] { runtime->loop().stop(); });
  app::report_crashes();
  runtime->watch_partitions([] {});
  establish();  // what follows is the tenant's
  const Status hosted = app::host_native_app(*runtime, file, options.app, options.metadata, is_made);
  if (auto end = runtime->end()) return tl::unexpected<Error>(*std::move(end));
  return hosted;
}

Status host_python(const AppOptions& options, bool& is_made) {
  const python::Interpreter interpreter;
  FURNACE_TRY(const Fd stop, stop_signals([] { PyErr_SetInterrupt(); }));
  zmq::context_t context(1);
  FURNACE_TRY(const auto runtime, app::Runtime::start(context, runtime_options(options)));
  runtime->loop().watch(stop.get(), [&] { runtime->loop().stop(); });

  runtime->watch_partitions(app::add_frontend_module(*runtime, options.app));
  pybind11::dict ctx;
  ctx["uuid"] = options.app;
  ctx["metadata"] = options.metadata;
  establish();  // what follows is the tenant's
  const auto instance = python::make_object(options.file, options.class_name, ctx);
  if (auto end = runtime->end(); end && !instance) return tl::unexpected<Error>(*std::move(end));
  if (!instance) return tl::unexpected<Error>(instance.error());
  is_made = true;
  log::info("{}: {} {} runs", options.app, options.class_name, options.file);
  runtime->loop().run();
  (void)runtime->may_tell_end();  // what follows is not to be interrupted
  python::call_shutdown(*instance);
  if (auto end = runtime->end()) return tl::unexpected<Error>(*std::move(end));
  log::info("{}: ended", options.app);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  AppOptions options;
  Program program("furnace-app", "APP partition: runs a tenant's app");
  launch::add_options(program.options(), options);
  bool is_made = false;
  const int code = program.run(argc, argv, [&] {
    const auto native = shared_object_for(options.file);
    return native ? host_native(options, *native, is_made) : host_python(options, is_made);
  });
  return code == 1 && !is_made ? launch::kAppNotMade : code;
}
