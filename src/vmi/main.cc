// furnace-vmi: the VMI partition of one VM.
#include "base/log.h"
#include "base/signals.h"
#include "hypervisor/qemu/qemu.h"
#include "hypervisor/simulator/simulator.h"
#include "program/program.h"
#include "vmi/profile_store.h"
#include "vmi/server.h"

namespace {

using namespace furnace;

struct Options {
  std::string vm;
  std::string driver = "qemu";
  std::string directory = "/opt/furnace/vmi_socket";
  std::string profile;
};

/// A store that knows one profile from a file beside those of the directory.
class GivenProfile : public vmi::ProfileStore {
 public:
  GivenProfile(std::shared_ptr<const guest::Profile> given, std::filesystem::path directory)
      : ProfileStore(std::move(directory)), given_(std::move(given)) {}
  std::shared_ptr<const guest::Profile> find(
      const std::function<bool(const guest::ProfileSummary&)>& matches) override {
    if (given_ && matches({std::string(given_->banner()), given_->header().banner_offset})) return given_;
    return ProfileStore::find(matches);
  }

 private:
  std::shared_ptr<const guest::Profile> given_;
};

Result<std::shared_ptr<const guest::Profile>> load_profile(const std::string& file) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  if (error) return fail(Errc::NotFound, "profile {}: {}", file, error.message());
  if (size == 0) return std::shared_ptr<const guest::Profile>();  // an empty file means: find it in RAM
  auto profile = guest::Profile::from_file(file);
  if (!profile)
    return fail(Errc::Invalid,
                "profile {} (give one from Furnace's cache, or an empty file: found in the guest's RAM)",
                profile.error().message());
  return profile;
}

Result<std::unique_ptr<hypervisor::Hypervisor>> attach(const Options& options) {
  if (options.driver == "qemu") return hypervisor::Qemu::attach(options.vm);
  FURNACE_TRY(auto simulator, hypervisor::Simulator::make(options.vm, hypervisor::default_tasks()));
  return simulator;
}

Status serve(const Options& options) {
  FURNACE_TRY(const Fd stop, stop_signals());
  std::shared_ptr<const guest::Profile> given;
  if (!options.profile.empty()) {
    FURNACE_TRY(given, load_profile(options.profile));
  }
  // The driver first: its guard process must not inherit threads and sockets.
  FURNACE_TRY(auto driver, attach(options));
  GivenProfile profiles(std::move(given), vmi::ProfileStore::default_directory());
  vmi::Machine machine(std::move(driver), &profiles);

  std::error_code error;
  std::filesystem::create_directories(options.directory, error);
  zmq::context_t context(1);
  FURNACE_TRY(vmi::Server server, vmi::Server::bind(context, options.directory, machine));
  if (auto kernel = machine.linux_guest(); !kernel)
    log::warning("no kernel yet, calls that need one fail until there is: {}", kernel.error().message());
  log::info("serving VM '{}' at {}/vmi_rtr", options.vm, options.directory);
  if (!server.run(stop.get())) return fail(Errc::Unavailable, "VM '{}' is gone", options.vm);
  log::info("stopped");
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  Program program("furnace-vmi", "VMI partition: owns the hypervisor handle of one VM and serves its apps");
  auto& flags = program.options();
  flags.add_option("VM", options.vm, "Name of the VM (QEMU's -name)")->required();
  flags.add_option("--driver", options.driver, "qemu, or simulator (a small guest made in memory)")
      ->check(CLI::IsMember({"qemu", "simulator"}))
      ->capture_default_str();
  flags.add_option("--vmi", options.directory, "Directory for the socket vmi_rtr")->capture_default_str();
  flags.add_option("--profile", options.profile,
                   "Kernel profile; without it, or empty: found in the guest's RAM");
  return program.run(argc, argv, [&] { return serve(options); });
}
