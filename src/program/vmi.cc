// furnace-vmi: the VMI partition of one VM.
#include "launch/options/vmi.h"

#include "base/directory.h"
#include "base/file.h"
#include "base/log.h"
#include "base/signals.h"
#include "command_line/program.h"
#include "guest/profile/profile_file.h"
#include "hypervisor/drivers.h"
#include "protocol/socket_files.h"
#include "vmi/profile_store.h"
#include "vmi/server.h"

namespace {

using namespace furnace;

using launch::VmiOptions;

/// The profile given with --profile; nothing for an empty file, which means: find it in RAM (wire.md section
/// 6).
Result<std::shared_ptr<const guest::Profile>> given_profile(const VmiOptions& options) {
  if (options.profile.empty()) return nullptr;
  std::error_code error;
  const auto size = std::filesystem::file_size(options.profile, error);
  if (error) return fail(Errc::NotFound, "profile {}: {}", options.profile, error.message());
  if (size == 0) return nullptr;
  auto profile = guest::load_profile(options.profile, options.types);
  if (!profile) return fail(profile.error(), "profile");
  return profile;
}

Result<std::unique_ptr<hypervisor::Hypervisor>> attach(const VmiOptions& options) {
  if (options.handles < 0)
    return hypervisor::attach(options.vm, options.driver, hypervisor::RamAccess::ReadWrite,
                              Fd(options.scratch));
  FURNACE_TRY(const std::string text, read_descriptor(Fd(options.handles)));
  FURNACE_TRY(const hypervisor::Driver* const driver, hypervisor::find_driver(options.vm, options.driver));
  if (driver->borrow == nullptr) return fail(Errc::Invalid, "driver '{}' lends nothing", options.driver);
  return driver->borrow(text);
}

Result<vmi::ServerOptions> server_options(const VmiOptions& options) {
  vmi::ServerOptions server;
  server.limits.calls_per_second = options.calls_per_second;
  server.limits.outstanding_bytes = options.outstanding_bytes;
  server.watchdog = std::chrono::milliseconds(options.watchdog_ms);
  for (const std::string& each : options.watchdogs) {
    FURNACE_TRY(const launch::Watchdog watchdog, launch::parse_watchdog(each));
    server.watchdogs[watchdog.app] = watchdog.time;
  }
  FURNACE_TRY(server.forbidden, vmi::Forbidden::parse(options.forbidden));
  if (options.events_by != "auto") server.watched_writes = options.events_by == "writes";
  server.metrics = options.metrics;
  server.metrics_descriptor = options.metrics_descriptor;
  server.counter = options.counter;
  return server;
}

Status serve(const VmiOptions& options, const vmi::ServerOptions& server_options) {
  FURNACE_TRY(const Fd stop, stop_signals());
  FURNACE_TRY(auto given, given_profile(options));
  // The driver first: its guard process must not inherit threads and sockets.
  FURNACE_TRY(auto driver, attach(options));
  vmi::ProfileStore profiles(vmi::ProfileStore::default_directory());
  // A partition keeps no profiles: one guest's memory must not decide what another guest's is taken for.
  vmi::Machine machine(std::move(driver), options.confined ? nullptr : &profiles, std::move(given));

  if (!options.confined) FURNACE_CHECK(Directory::make(options.directory, Care::Content));
  FURNACE_TRY(const auto server, vmi::Server::bind(options.directory, machine, server_options));
  if (auto kernel = machine.linux_guest(); !kernel)
    log::warning("no kernel yet, calls that need one fail until there is: {}", kernel.error().message());
  log::info("serving VM '{}' at {}/vmi_rtr", options.vm, options.directory);
  establish();
  if (!server->run(stop.get())) return tl::unexpected<Error>(machine.reason());
  log::info("stopped");
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  VmiOptions options;
  Program program("furnace-vmi", "VMI partition: owns the hypervisor handle of one VM and serves its apps");
  launch::add_options(program.options(), options, {hypervisor::driver_names(), hypervisor::driver_help()});
  return program.run(argc, argv, [&]() -> Status {
    FURNACE_TRY(const vmi::ServerOptions server, server_options(options));
    const Status served = serve(options, server);
    if (!options.confined) protocol::remove_sockets(options.directory, protocol::kVmiSockets);
    return served;
  });
}
