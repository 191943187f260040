// The kind "vmi": a VMI partition, which serves one VM to its apps.
#include "launch/options/vmi.h"

#include <filesystem>

#include "base/directories.h"
#include "base/file.h"
#include "base/places.h"
#include "hypervisor/drivers.h"
#include "launch/additions.h"
#include "launch/kind.h"
#include "protocol/socket_files.h"
#include "sandbox/account.h"
#include "sandbox/helper.h"
#include "sandbox/view.h"
#include "vmi/calls/permissions.h"

namespace furnace::launch {
namespace {

namespace fs = std::filesystem;
using sandbox::Partition;

/// MB. A partition on a VM lives on 20, but to find a 6.12 kernel in RAM takes 50 for a moment; a profile
/// that is given is read as a whole.
constexpr uint64_t kMemory = 64, kMemoryWithProfile = 600;

class VmiStart : public Start {
 public:
  void add_options(CLI::App& flags) override;
  [[nodiscard]] const std::string& id() const override { return options_.vm; }
  [[nodiscard]] const sandbox::RootKind& root() const override { return kVmiRoot; }
  [[nodiscard]] Result<Partition> make_partition(const CLI::App& flags, LaunchOptions& launching) override;

 private:
  Result<std::string> add_vm_file(Partition& partition, const hypervisor::Driver& driver);
  Status borrow_vm(Partition& partition, const hypervisor::Driver& driver);

  VmiOptions options_;
};

void VmiStart::add_options(CLI::App& flags) {
  launch::add_options(flags, options_, {hypervisor::driver_names(), hypervisor::driver_help()});
}

/// What a file of a VM is called in the partition.
Result<std::string> VmiStart::add_vm_file(Partition& partition, const hypervisor::Driver& driver) {
  const std::string place = fs::path(places::kShared) / fs::path(options_.vm).filename();
  FURNACE_CHECK(add_large_file(partition, options_.vm, place));
  if (!driver.scratch) return place;
  FURNACE_TRY(Fd scratch, temporary_file());
  // What is in the file, in another order; between its parts there may be holes.
  constexpr uint64_t holes = 256 << 20;
  std::error_code ignored;
  partition.file_size = fs::file_size(options_.vm, ignored) + holes;
  add_handle(partition, "--scratch", std::move(scratch));
  return place;
}

Status VmiStart::borrow_vm(Partition& partition, const hypervisor::Driver& driver) {
  hypervisor::LendOptions lending;
  FURNACE_TRY(lending.confine, sandbox::confine_helper(installed_directory("policies") / "broker.policy"));
  FURNACE_TRY(const auto forbidden, vmi::Forbidden::parse(options_.forbidden));
  if (!forbidden.to({}).has(protocol::Needs::Write)) lending.access = hypervisor::RamAccess::ReadWrite;
  FURNACE_TRY(auto lent, driver.lend(options_.vm, lending));
  FURNACE_TRY(Fd text, sandbox::memory_file(lent.text));
  for (Fd& each : lent.descriptors) partition.handles.push_back(std::move(each));
  add_handle(partition, "--handles", std::move(text));
  if (!lent.visitors.empty()) partition.leftovers.emplace_back(lent.visitors);
  return {};
}

Result<Partition> VmiStart::make_partition(const CLI::App& flags, LaunchOptions& launching) {
  if (flags.count("--memory") == 0)
    launching.limits.memory_mb = flags.count("--profile") != 0 ? kMemoryWithProfile : kMemory;
  FURNACE_TRY(const hypervisor::Driver* const driver, hypervisor::find_driver(options_.vm, options_.driver));
  if (driver->policy == nullptr)
    return fail(Errc::Unavailable, "driver '{}' can't be confined yet: start with --unconfined",
                driver->name);
  Partition partition;
  partition.policy_name = driver->policy;
  const auto there = Directory::open(options_.directory, Care::Content);
  partition.account = there ? sandbox::account_of(*there) : sandbox::partition_account();
  constexpr uint64_t most_files = 4096;  // three descriptors for each app
  partition.open_files = most_files;
  partition.file_size = 0;  // it writes none
  std::map<std::string, std::optional<std::string>> instead{{"--vmi", places::kVmi},
                                                            {"--driver", driver->name},
                                                            {"--metrics", std::nullopt},
                                                            {"--in-partition", std::nullopt}};
  partition.command.emplace_back("--in-partition");
  if (driver->lend != nullptr) {
    FURNACE_CHECK(borrow_vm(partition, *driver));
  } else if (fs::exists(options_.vm)) {
    FURNACE_TRY(instead["VM"], add_vm_file(partition, *driver));
  }
  FURNACE_TRY(const Directory sockets, Directory::make(options_.directory, Care::Content));
  FURNACE_CHECK(add_writable(partition, sockets, places::kVmi));
  partition.tidy = [path = sockets.path()] { protocol::remove_sockets(path, protocol::kVmiSockets); };
  for (const auto& [option, file] :
       {std::pair("--profile", options_.profile), std::pair("--btf", options_.types)}) {
    if (file.empty()) continue;
    const std::string place = fs::path(places::kKernels) / fs::path(file).filename();
    FURNACE_CHECK(add_large_file(partition, file, place));
    instead[option] = place;
  }
  FURNACE_CHECK(lend_metrics(partition, options_.metrics));
  const std::vector<std::string> given = command_line(flags, instead);
  partition.command.insert(partition.command.end(), given.begin(), given.end());
  return partition;
}

Part vmi_part(const Manifest& manifest) {
  const Manifest::Vmi& vm = manifest.vm;
  Part part{"vmi", {vm.name, "--driver", vm.driver, "--vmi", vm.directory}};
  if (!vm.profile.empty()) part.add({"--profile", vm.profile});
  if (vm.calls_per_second != 0) part.add({"--calls-per-second", std::to_string(vm.calls_per_second)});
  for (const std::string& each : vm.forbid) part.add({"--forbid", fmt::format("{}={}", manifest.app, each)});
  part.add(manifest.vmi_limits);
  return part;
}

}  // namespace

const Kind& vmi_kind() {
  static constexpr Kind kind{"vmi", "VMI partition: serves a VM to its apps",
                             "VMI partition: owns the hypervisor handle of one VM and serves its apps",
                             [] { return std::unique_ptr<Start>(new VmiStart); }, vmi_part};
  return kind;
}

}  // namespace furnace::launch
