// What is peculiar to each kind of partition: the places it sees, and the handles it gets.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "base/bytes.h"
#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/shared_object.h"
#include "cli/launch.h"
#include "hypervisor/attach.h"
#include "hypervisor/qemu/handles.h"
#include "hypervisor/xen/broker.h"
#include "inspector/policy.h"
#include "protocol/certificate.h"
#include "protocol/framing.h"
#include "protocol/server_keys.h"
#include "protocol/socket_files.h"

namespace furnace::cli {
namespace {

namespace fs = std::filesystem;
using sandbox::Partition;

constexpr const char* kFacilitiesPlace = "/opt/furnace/fac_socket";
constexpr const char* kVmiPlace = "/opt/furnace/vmi_socket";
constexpr const char* kStoragePlace = "/opt/furnace/storage";
constexpr const char* kKeysPlace = "/opt/furnace/keys";
constexpr size_t kMostOfFile = 256 << 20;

/// A directory that the partition writes to.
Status add_writable(Partition& partition, const fs::path& source, const char* place) {
  std::error_code error;
  fs::create_directories(source, error);
  if (error) return fail(Errc::Failed, "{}: {}", source.string(), error.message());
  if (const auto account = sandbox::partition_account()) FURNACE_CHECK(sandbox::hand_over(source, *account));
  partition.view.binds.push_back({fs::absolute(source), place, true});
  partition.writable.emplace_back(place);
  return {};
}

/// A file of whoever, for the partition to read.
Status add_file(Partition& partition, const fs::path& source, const fs::path& place) {
  FURNACE_TRY(const std::string content, read_file(source, kMostOfFile));
  FURNACE_TRY(Fd data, sandbox::memory_file(content));
  partition.view.contents.push_back({place, std::move(data)});
  return {};
}

/// The same for large files: mapped where everybody may read them.
Status add_large_file(Partition& partition, const fs::path& source, const fs::path& place) {
  struct stat status {};
  if (::stat(source.c_str(), &status) != 0) return fail_errno("{}", source.string());
  if (!S_ISREG(status.st_mode)) return fail(Errc::Invalid, "{}: not a regular file", source.string());
  if (const auto account = sandbox::partition_account(); account && (status.st_mode & S_IROTH) == 0)
    FURNACE_CHECK(sandbox::let_read(source, *account));
  FURNACE_TRY(const Fd readable, open_file(source, O_RDONLY));
  partition.view.files.push_back({fs::absolute(source), place, false});
  return {};
}

/// The socket that shows counters: bound here, where its place is.
Status lend_metrics(Partition& partition, const std::string& where, std::vector<std::string>& command) {
  if (where.empty()) return {};
  FURNACE_TRY(auto metrics, MetricsSocket::bind(where));
  Fd bound = std::move(metrics).take_apart();
  command.insert(command.end(), {"--metrics-descriptor", std::to_string(bound.get())});
  partition.handles.push_back(std::move(bound));
  if (const auto path = metrics_path(where); !path.empty()) partition.leftovers.emplace_back(path);
  return {};
}

/// Where an app's own socket to the VMI partition is, or will be: a directory that no other app sees. A VMI
/// partition of another make has the common socket alone.
Result<fs::path> vmi_directory_of(const fs::path& directory, const std::string& app) {
  const fs::path own = directory / app;
  std::error_code error;
  fs::create_directories(directory, error);
  if (!fs::is_directory(own, error)) {
    const fs::path made = directory / fmt::format(".{}.{}", app, ::getpid());
    fs::create_directory(made, error);
    if (error) return fail(Errc::Failed, "{}: {}", made.string(), error.message());
    fs::permissions(made, fs::perms::owner_all, error);
    if (const auto account = sandbox::partition_account()) FURNACE_CHECK(sandbox::hand_over(made, *account));
    fs::rename(made, own, error);
    if (error) fs::remove(made, error);  // another one of the same app was faster
  }
  constexpr std::chrono::milliseconds between_looks(5);
  constexpr std::chrono::seconds time(3);
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
    if (fs::exists(own / "vmi_rtr")) return own;
    const auto lock =
        fs::exists(directory / "vmi_rtr.lock") ? lock_file(directory / "vmi_rtr.lock") : Result<Fd>(Fd());
    const bool ours_serves = !lock;
    if (fs::exists(directory / "vmi_rtr") && !ours_serves) {
      if (const auto account = sandbox::partition_account())
        FURNACE_CHECK(sandbox::hand_over(directory, *account));
      log::warning("the VMI partition at {} has no socket for each app: others could call themselves {}",
                   directory.string(), app);
      return directory;
    }
    std::this_thread::sleep_for(between_looks);
  }
  log::warning("no VMI partition serves at {} yet", directory.string());
  return own;
}

/// One app, one connection: a second app of the same id would take the sockets of the first one over, which
/// would hear nothing any more. The lock is the launcher's; the kernel frees it however the launcher exits.
Result<Fd> lock_app(const fs::path& directory, const std::string& app) {
  constexpr int tries = 200;  // what a killed launcher leaves takes a moment to exit
  constexpr std::chrono::milliseconds between_tries(10);
  const fs::path path = directory / fmt::format(".{}.lock", app);
  auto lock = lock_file(path);
  for (int i = 0; i < tries && !lock && lock.error().code() == Errc::Unavailable; ++i) {
    std::this_thread::sleep_for(between_tries);
    lock = lock_file(path);
  }
  if (lock) {
    const std::string pid = std::to_string(::getpid());
    if (::ftruncate(lock->get(), 0) != 0 || ::write(lock->get(), pid.data(), pid.size()) < 0)
      return fail_errno("{}", path.string());
  }
  if (!lock && lock.error().code() == Errc::Denied)
    return Fd();  // another user's directory, which we only read
  if (lock || lock.error().code() != Errc::Unavailable) return lock;
  const auto holder = read_file(path, 64);
  return fail(Errc::Unavailable, "app {} is connected at {} already, by furnace app, pid {}", app,
              directory.string(), printable(holder.value_or("unknown")));  // others may write there
}

}  // namespace

Result<std::vector<Fd>> lock_app(const partitions::AppOptions& app) {
  FURNACE_CHECK(protocol::check_app_id(app.app));
  std::vector<Fd> locks;
  std::error_code error;
  for (const std::string& directory : {app.vmi, app.facilities}) {
    if (!fs::is_directory(directory, error)) continue;
    FURNACE_TRY(Fd lock, lock_app(directory, app.app));
    locks.push_back(std::move(lock));
  }
  return locks;
}

Result<Partition> app_partition(const CLI::App& flags, const partitions::AppOptions& app,
                                const LaunchOptions& options) {
  FURNACE_CHECK(protocol::check_app_id(app.app));
  // It names a directory, which is bound into the view.
  if (app.app.starts_with('.')) return fail(Errc::Invalid, "app id '{}': must not begin with a dot", app.app);
  Partition partition;
  partition.policy_name = options.forensic ? "forensic" : "app";
  const auto native = shared_object_for(app.file);
  const fs::path file = native ? fs::path(*native) : fs::path(app.file + ".py");
  const fs::path place = fs::path("/opt/furnace/app") / file.filename();
  if (const auto added = add_file(partition, file, place); !added)
    return fail(Errc::NotFound, "{} (the option takes the file's name without .py)", added.error().message());
  for (const std::string& beside : options.files)
    FURNACE_CHECK(add_file(partition, beside, fs::path("/opt/furnace/app") / fs::path(beside).filename()));
  FURNACE_TRY(const fs::path vmi, vmi_directory_of(app.vmi, app.app));
  partition.view.binds.push_back({fs::absolute(vmi), kVmiPlace, false});
  FURNACE_TRY(Fd vmi_lock, lock_app(app.vmi, app.app));
  partition.locks.push_back(std::move(vmi_lock));
  std::error_code error;
  if (flags.count("--fac") != 0) fs::create_directories(app.facilities, error);
  if (fs::is_directory(app.facilities, error)) {
    if (const auto account = sandbox::partition_account())
      FURNACE_CHECK(sandbox::hand_over(app.facilities, *account));
    partition.view.binds.push_back({fs::absolute(app.facilities), kFacilitiesPlace, false});
    FURNACE_TRY(Fd facilities_lock, lock_app(app.facilities, app.app));
    partition.locks.push_back(std::move(facilities_lock));
  }
  partition.command = command_line(
      flags,
      {{"--code", place.parent_path() / place.stem()}, {"--fac", kFacilitiesPlace}, {"--vmi", kVmiPlace}});
  return partition;
}

Result<Partition> fac_partition(const CLI::App& flags, const partitions::FacOptions& fac,
                                const LaunchOptions& /*options*/) {
  Partition partition;
  partition.policy_name = "fac";
  fs::path directory = fs::absolute(fac.directory).lexically_normal();
  if (!directory.has_filename()) directory = directory.parent_path();
  FURNACE_CHECK(add_writable(partition, directory, kFacilitiesPlace));
  partition.tidy = [directory] { protocol::remove_sockets(directory, protocol::kFacilitySockets); };
  // The layout of a tenant's data: fac_socket/ and storage/ side by side (wire.md section 6).
  FURNACE_CHECK(add_writable(
      partition, fac.storage.empty() ? directory.parent_path() / "storage" : fs::path(fac.storage),
      kStoragePlace));
  // Said here, where the files have their own names.
  const fs::path key_file = fs::path(fac.keys) / "app.key";
  FURNACE_TRY(const auto own_key, protocol::load_secret(key_file));
  FURNACE_CHECK(protocol::check_owner(own_key, fac.app, key_file.string()));
  FURNACE_TRY(const auto backend_keys, protocol::ServerKeys::load(fs::path(fac.keys) / "be.pub"));
  for (const char* key : {"app.key", "be.pub"})
    FURNACE_CHECK(add_file(partition, fs::path(fac.keys) / key, fs::path(kKeysPlace) / key));
  std::error_code error;
  if (const fs::path previous = protocol::previous_of(fs::path(fac.keys) / "be.pub");
      fs::exists(previous, error))
    FURNACE_CHECK(add_file(partition, previous, fs::path(kKeysPlace) / previous.filename()));
  partition.view.network = true;
  inspector::Policy own;
  for (const uint16_t port : {fac.proxy_port, static_cast<uint16_t>(fac.proxy_port + 1)}) {
    FURNACE_TRY(const inspector::AddressTest address,
                inspector::AddressTest::parse(fmt::format("{}:{}", fac.proxy_ip, port)));
    for (const inspector::Level level : inspector::kLevels) own.allow_address(level, address);
    partition.ports.push_back(port);
  }
  partition.policy = std::move(own);
  partition.command = command_line(flags, {{"--kp", kKeysPlace},
                                           {"--fac", kFacilitiesPlace},
                                           {"--storage", kStoragePlace},
                                           {"--metrics", std::nullopt}});
  FURNACE_CHECK(lend_metrics(partition, fac.metrics, partition.command));
  partition.command.emplace_back("--in-partition");
  return partition;
}

Result<Partition> vmi_partition(const CLI::App& flags, const partitions::VmiOptions& vmi,
                                const LaunchOptions& /*options*/) {
  Partition partition;
  // Every driver but Xen's is content with what QEMU's needs.
  partition.policy_name = "vmi-qemu";
  constexpr uint64_t most_files = 4096;  // three descriptors for each app
  partition.open_files = most_files;
  partition.file_size = 0;  // it writes none
  std::map<std::string, std::optional<std::string>> instead{{"--vmi", kVmiPlace},
                                                            {"--in-partition", std::nullopt}};
  const std::string driver = hypervisor::driver_for(vmi.vm, vmi.driver);
  std::vector<std::string> more{"--in-partition"};
  if (driver == "libvmi")
    return fail(Errc::Unavailable, "driver '{}' can't be confined yet: start with --unconfined", driver);
  const auto hand_over = [&](std::string_view names, std::vector<Fd> descriptors) -> Status {
    FURNACE_TRY(Fd text, sandbox::memory_file(names));
    more.insert(more.end(), {"--handles", std::to_string(text.get())});
    partition.handles = std::move(descriptors);
    partition.handles.push_back(std::move(text));
    return {};
  };
  if (driver == "qemu") {
    FURNACE_TRY(auto handles, hypervisor::QemuHandles::open(vmi.vm));
    auto lent = hypervisor::QemuHandles::lend(std::move(handles));
    FURNACE_CHECK(hand_over(lent.text, std::move(lent.descriptors)));
  } else if (driver == "xen") {
    FURNACE_TRY(auto lent, hypervisor::lend_xen(vmi.vm));
    FURNACE_CHECK(hand_over(lent.text, std::move(lent.descriptors)));
    instead["--driver"] = "xen";
    partition.policy_name = "vmi-xen";
  } else if (fs::exists(vmi.vm)) {
    const std::string place = fs::path("/opt/furnace/shared") / fs::path(vmi.vm).filename();
    FURNACE_CHECK(add_large_file(partition, vmi.vm, place));
    instead["VM"] = place;
    if (driver == "snapshot") {
      FURNACE_TRY(Fd scratch, temporary_file());
      // What is in the snapshot, in another order; between its parts there may be holes.
      constexpr uint64_t holes = 256 << 20;
      std::error_code ignored;
      partition.file_size = fs::file_size(vmi.vm, ignored) + holes;
      more.insert(more.end(), {"--scratch", std::to_string(scratch.get())});
      partition.handles.push_back(std::move(scratch));
    }
  }
  FURNACE_CHECK(add_writable(partition, vmi.directory, kVmiPlace));
  partition.tidy = [directory = vmi.directory] {
    protocol::remove_sockets(directory, protocol::kVmiSockets);
  };
  for (const auto& [option, file] : {std::pair("--profile", vmi.profile), std::pair("--btf", vmi.types)}) {
    if (file.empty()) continue;
    const std::string place = fs::path("/opt/kernels/rekall") / fs::path(file).filename();
    FURNACE_CHECK(add_large_file(partition, file, place));
    instead[option] = place;
  }
  FURNACE_CHECK(lend_metrics(partition, vmi.server.metrics, more));
  instead["--metrics"] = std::nullopt;
  partition.command = command_line(flags, instead);
  partition.command.insert(partition.command.begin(), more.begin(), more.end());
  return partition;
}

}  // namespace furnace::cli
