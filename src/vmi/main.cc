// furnace-vmi: the VMI partition of one VM.
#include "base/log.h"
#include "base/signals.h"
#include "guest/profile/profile_file.h"
#include "hypervisor/attach.h"
#include "program/program.h"
#include "vmi/profile_store.h"
#include "vmi/server.h"

namespace {

using namespace furnace;

struct Options {
  std::string vm;
  std::string driver = "auto";
  std::string directory = "/opt/furnace/vmi_socket";
  std::string profile;
  std::string types;
  vmi::ServerOptions server;
  unsigned watchdog_ms = 1000;
};

/// The profile given with --profile; nothing for an empty file, which means: find it in RAM (wire.md section
/// 6).
Result<std::shared_ptr<const guest::Profile>> given_profile(const Options& options) {
  if (options.profile.empty()) return nullptr;
  std::error_code error;
  const auto size = std::filesystem::file_size(options.profile, error);
  if (error) return fail(Errc::NotFound, "profile {}: {}", options.profile, error.message());
  if (size == 0) return nullptr;
  auto profile = guest::load_profile(options.profile, options.types);
  if (!profile) return fail(profile.error(), "profile");
  return profile;
}

Status serve(const Options& options) {
  FURNACE_TRY(const Fd stop, stop_signals());
  FURNACE_TRY(auto given, given_profile(options));
  // The driver first: its guard process must not inherit threads and sockets.
  FURNACE_TRY(auto driver, hypervisor::attach(options.vm, options.driver));
  vmi::ProfileStore profiles(vmi::ProfileStore::default_directory());
  vmi::Machine machine(std::move(driver), &profiles, std::move(given));

  std::error_code error;
  std::filesystem::create_directories(options.directory, error);
  zmq::context_t context(1);
  FURNACE_TRY(const auto server, vmi::Server::bind(context, options.directory, machine, options.server));
  if (auto kernel = machine.linux_guest(); !kernel)
    log::warning("no kernel yet, calls that need one fail until there is: {}", kernel.error().message());
  log::info("serving VM '{}' at {}/vmi_rtr", options.vm, options.directory);
  if (!server->run(stop.get())) return fail(Errc::Unavailable, "VM '{}' is gone", options.vm);
  log::info("stopped");
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  Program program("furnace-vmi", "VMI partition: owns the hypervisor handle of one VM and serves its apps");
  auto& flags = program.options();
  flags.add_option("VM", options.vm, "Name of the VM (QEMU's -name), or a snapshot file")->required();
  flags
      .add_option(
          "--driver", options.driver,
          "auto (a file is a snapshot, or a simulated guest if it ends in .toml), qemu, snapshot, simulator")
      ->check(
          CLI::IsMember(std::vector<std::string>(hypervisor::kDrivers.begin(), hypervisor::kDrivers.end())))
      ->capture_default_str();
  flags.add_option("--vmi", options.directory, "Directory for the socket vmi_rtr")->capture_default_str();
  flags.add_option("--profile", options.profile,
                   "Kernel profile: Rekall or Volatility JSON, System.map, vmlinux, or Furnace's own; "
                   "without it, or empty: found in the guest's RAM");
  flags
      .add_option("--calls-per-second", options.server.limits.calls_per_second, "Limit for each app; 0: none")
      ->capture_default_str();
  flags
      .add_option("--outstanding", options.server.limits.outstanding_bytes,
                  "Bytes of answers that an app may leave unread before it is served no more")
      ->capture_default_str();
  flags
      .add_option("--watchdog", options.watchdog_ms,
                  "Milliseconds that a SYNC event may keep the guest standing; 0: for ever")
      ->capture_default_str();
  flags.add_option("--metrics", options.server.metrics,
                   "Path of a socket that shows counters by app (Prometheus text)");
  flags.add_option("--btf", options.types, "Types for a System.map profile: a BTF file or a vmlinux");
  return program.run(argc, argv, [&] {
    options.server.watchdog = std::chrono::milliseconds(options.watchdog_ms);
    return serve(options);
  });
}
