// What is peculiar to each kind of partition: the places it sees, and the handles it gets.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "base/bytes.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/places.h"
#include "base/printable.h"
#include "base/shared_object.h"
#include "hypervisor/attach.h"
#include "hypervisor/qemu/broker.h"
#include "hypervisor/xen/broker.h"
#include "launch/launch.h"
#include "protocol/certificate.h"
#include "protocol/framing.h"
#include "protocol/server_keys.h"
#include "protocol/socket_files.h"
#include "sandbox/helper.h"
#include "sandbox/policy/policy.h"
#include "vmi/calls/permissions.h"

namespace furnace::launch {
namespace {

namespace fs = std::filesystem;
using sandbox::Partition;

constexpr size_t kMostOfFile = 256 << 20;

/// A directory that the partition writes to.
Status add_writable(Partition& partition, const Directory& directory, const char* place) {
  if (partition.account) FURNACE_CHECK(sandbox::hand_over(directory, *partition.account));
  FURNACE_TRY(auto bind, sandbox::bind_of(directory.descriptor(), directory.path(), place, true));
  partition.view.binds.push_back(std::move(bind));
  partition.writable.emplace_back(place);
  return {};
}

/// A directory whose sockets it connects to.
Status add_visible(Partition& partition, const Directory& directory, const char* place) {
  FURNACE_TRY(auto bind, sandbox::bind_of(directory.descriptor(), directory.path(), place));
  partition.view.binds.push_back(std::move(bind));
  return {};
}

/// A file of whoever, for the partition to read.
Status add_file(Partition& partition, const fs::path& source, const fs::path& place) {
  FURNACE_TRY(const NamedFile named, open_named(source));
  const auto content = read_descriptor(named.file, kMostOfFile);
  if (!content) return fail(content.error(), source.string());
  FURNACE_TRY(Fd data, sandbox::memory_file(*content));
  partition.view.contents.push_back({place, std::move(data)});
  return {};
}

/// The same for large files: mapped where everybody may read them.
Status add_large_file(Partition& partition, const fs::path& source, const fs::path& place) {
  FURNACE_TRY(const NamedFile named, open_named(source));
  if (partition.account) FURNACE_CHECK(sandbox::let_read(named.file, source, *partition.account));
  FURNACE_TRY(auto bind, sandbox::bind_of(named.file.get(), named.path, place));
  partition.view.files.push_back(std::move(bind));
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

/// Where an app's own socket to the VMI partition is, or will be: a directory that no other app sees.
Result<Directory> own_directory(const Directory& all, const std::string& app,
                                const std::optional<sandbox::Account>& account) {
  if (!all.has(app)) {
    // It gets its name when it is whole: the VMI partition looks at it at once.
    constexpr unsigned owners = 0700;
    const std::string made = fmt::format(".{}.{}", app, ::getpid());
    FURNACE_TRY(const Directory directory, all.open_directory(made, owners));
    if (account) FURNACE_CHECK(sandbox::hand_over(directory, *account));
    if (!all.rename(made, app)) ::unlinkat(all.descriptor(), made.c_str(), AT_REMOVEDIR);
  }
  FURNACE_TRY(Directory own, all.open_directory(app));
  const bool is_given_away = account && (own.owner() == 0 || is_partition_user(own.owner()));
  if (is_given_away && own.owner() != account->user) FURNACE_CHECK(sandbox::hand_over(own, *account));
  if (!is_given_away && own.owner() != ::geteuid())
    return fail(Errc::Denied, "{}: belongs to user {}; an app's directory is its own user's",
                own.path().string(), own.owner());
  return own;
}

/// Something serves at the common socket that is no VMI partition of ours: ours hold the lock.
bool foreign_one_serves(const Directory& all) {
  if (!all.has("vmi_rtr") || !connect_unix(all.path() / "vmi_rtr")) return false;
  return !all.has(protocol::kVmiSockets.lock) || all.lock(protocol::kVmiSockets.lock);
}

/// Waits a moment for the app's socket. Whatever else lies there, the app gets no other.
Status wait_for_socket(const Directory& all, const Directory& own) {
  constexpr std::chrono::milliseconds between_looks(5);
  constexpr std::chrono::seconds time(3);
  constexpr int sure = 20;  // one of ours that ends lets its lock go before its socket
  int seen = 0;
  for (const auto end = std::chrono::steady_clock::now() + time; std::chrono::steady_clock::now() < end;) {
    if (own.has("vmi_rtr")) return {};
    seen = foreign_one_serves(all) ? seen + 1 : 0;
    if (seen == sure)
      return fail(Errc::Unavailable,
                  "{}: the VMI partition there has one socket for all apps, where each can call itself "
                  "another; if that "
                  "may be, say --common-socket",
                  all.path().string());
    std::this_thread::sleep_for(between_looks);
  }
  log::warning("no VMI partition serves at {} yet", all.path().string());
  return {};
}

/// The directory of all apps, by the operator's word. While it is seen no VMI partition of ours can begin
/// there, which would make sockets of other apps in it.
Status add_common_socket(Partition& partition, const Directory& all) {
  auto lock = all.lock(protocol::kVmiSockets.lock, true);
  if (!lock && lock.error().code() == Errc::Unavailable)
    return fail(Errc::Invalid,
                "{}: the VMI partition there has a socket for each app: leave out --common-socket",
                all.path().string());
  if (!lock && lock.error().code() != Errc::Denied) return tl::unexpected<Error>(lock.error());
  if (lock) partition.locks.push_back(*std::move(lock));
  if (partition.account) FURNACE_CHECK(sandbox::hand_over(all, *partition.account));
  return add_visible(partition, all, places::kVmi);
}

/// One app, one connection: a second app of the same id would take the sockets of the first one over, which
/// would hear nothing any more. The lock is the launcher's; the kernel frees it however the launcher exits.
Result<Fd> lock_in(const Directory& directory, const std::string& app) {
  constexpr int tries = 200;  // what a killed launcher leaves takes a moment to exit
  constexpr std::chrono::milliseconds between_tries(10);
  const std::string name = fmt::format(".{}.lock", app);
  auto lock = directory.lock(name);
  for (int i = 0; i < tries && !lock && lock.error().code() == Errc::Unavailable; ++i) {
    std::this_thread::sleep_for(between_tries);
    lock = directory.lock(name);
  }
  if (lock) {
    const std::string pid = std::to_string(::getpid());
    if (::ftruncate(lock->get(), 0) != 0 || ::write(lock->get(), pid.data(), pid.size()) < 0)
      return fail_errno("{}", (directory.path() / name).string());
    return lock;
  }
  if (::faccessat(directory.descriptor(), ".", W_OK, AT_EACCESS) != 0)
    return Fd();  // another user's directory, which we only read
  if (lock.error().code() != Errc::Unavailable) return lock;
  const auto holder = read_file(directory.path() / name, 64);
  return fail(Errc::Unavailable, "app {} is connected at {} already, by furnace app, pid {}", app,
              directory.path().string(), printable(holder.value_or("unknown")));  // others may write there
}

/// The app's way to its VMI partition.
Status add_vmi_socket(Partition& partition, const AppOptions& app, bool common) {
  FURNACE_TRY(const Directory all, Directory::make(app.vmi, Care::Content));
  partition.account = sandbox::account_of(all);
  FURNACE_TRY(Fd lock, lock_in(all, app.app));
  partition.locks.push_back(std::move(lock));
  if (common) return add_common_socket(partition, all);
  // The VMI partition that comes later takes the account from it.
  if (partition.account && all.owner() == 0) FURNACE_CHECK(sandbox::hand_over(all, *partition.account));
  FURNACE_TRY(const Directory own, own_directory(all, app.app, partition.account));
  FURNACE_CHECK(wait_for_socket(all, own));
  return add_visible(partition, own, places::kVmi);
}

/// The app's way to its FAC partition, if it has one.
Status add_facilities_socket(Partition& partition, const AppOptions& app, bool wanted) {
  std::error_code error;
  if (!wanted && !fs::is_directory(app.facilities, error)) return {};
  FURNACE_TRY(const Directory directory, Directory::make(app.facilities, Care::Content));
  FURNACE_TRY(Fd lock, lock_in(directory, app.app));
  partition.locks.push_back(std::move(lock));
  if (const auto& account = partition.account; account && directory.owner() != account->user)
    FURNACE_CHECK(directory.owner() == 0 ? sandbox::hand_over(directory, *account)
                                         : sandbox::let_connect(directory, *account));
  return add_visible(partition, directory, places::kFacilities);
}

}  // namespace

Result<std::vector<Fd>> lock_app(const AppOptions& app) {
  FURNACE_CHECK(protocol::check_app_id(app.app));
  std::vector<Fd> locks;
  std::error_code error;
  for (const std::string& path : {app.vmi, app.facilities}) {
    if (!fs::is_directory(path, error)) continue;
    FURNACE_TRY(const Directory directory, Directory::open(path, Care::Links));
    FURNACE_TRY(Fd lock, lock_in(directory, app.app));
    locks.push_back(std::move(lock));
  }
  return locks;
}

Result<Partition> app_partition(const CLI::App& flags, const AppOptions& app, const LaunchOptions& options) {
  FURNACE_CHECK(protocol::check_app_id(app.app));
  // It names a directory, which is bound into the view.
  if (app.app.starts_with('.')) return fail(Errc::Invalid, "app id '{}': must not begin with a dot", app.app);
  Partition partition;
  partition.policy_name = options.forensic ? "forensic" : "app";
  const auto native = shared_object_for(app.file);
  const fs::path file = native ? fs::path(*native) : fs::path(app.file + ".py");
  const fs::path place = fs::path(places::kApp) / file.filename();
  if (const auto added = add_file(partition, file, place); !added)
    return fail(Errc::NotFound, "{} (the option takes the file's name without .py)", added.error().message());
  for (const std::string& beside : options.files)
    FURNACE_CHECK(add_file(partition, beside, fs::path(places::kApp) / fs::path(beside).filename()));
  FURNACE_CHECK(add_vmi_socket(partition, app, options.common_socket));
  FURNACE_CHECK(add_facilities_socket(partition, app, flags.count("--fac") != 0));
  partition.command = command_line(flags, {{"--code", place.parent_path() / place.stem()},
                                           {"--fac", places::kFacilities},
                                           {"--vmi", places::kVmi}});
  return partition;
}

Result<Partition> fac_partition(const CLI::App& flags, const FacOptions& fac,
                                const LaunchOptions& /*options*/) {
  Partition partition;
  partition.policy_name = "fac";
  fs::path directory = fs::absolute(fac.directory).lexically_normal();
  if (!directory.has_filename()) directory = directory.parent_path();
  FURNACE_TRY(const Directory sockets, Directory::make(directory, Care::Content));
  // The layout of a tenant's data: fac_socket/ and storage/ side by side (wire.md section 6).
  FURNACE_TRY(
      const Directory storage,
      Directory::make(fac.storage.empty() ? directory.parent_path() / "storage" : fs::path(fac.storage),
                      Care::Content));
  partition.account = sandbox::account_of(sockets);
  FURNACE_CHECK(add_writable(partition, sockets, places::kFacilities));
  partition.tidy = [path = sockets.path()] { protocol::remove_sockets(path, protocol::kFacilitySockets); };
  FURNACE_CHECK(add_writable(partition, storage, places::kStorage));
  // Said here, where the files have their own names.
  const fs::path key_file = fs::path(fac.keys) / "app.key";
  FURNACE_TRY(const auto own_key, protocol::load_secret(key_file));
  FURNACE_CHECK(protocol::check_owner(own_key, fac.app, key_file.string()));
  FURNACE_TRY(const auto backend_keys, protocol::ServerKeys::load(fs::path(fac.keys) / "be.pub"));
  for (const char* key : {"app.key", "be.pub"})
    FURNACE_CHECK(add_file(partition, fs::path(fac.keys) / key, fs::path(places::kKeys) / key));
  std::error_code error;
  if (const fs::path previous = protocol::previous_of(fs::path(fac.keys) / "be.pub");
      fs::exists(previous, error))
    FURNACE_CHECK(add_file(partition, previous, fs::path(places::kKeys) / previous.filename()));
  partition.view.network = true;
  policy::Policy own;
  for (const uint16_t port : {fac.proxy_port, static_cast<uint16_t>(fac.proxy_port + 1)}) {
    FURNACE_TRY(const policy::AddressTest address,
                policy::AddressTest::parse(fmt::format("{}:{}", fac.proxy_ip, port)));
    for (const policy::Level level : policy::kLevels) own.allow_address(level, address);
    partition.ports.push_back(port);
  }
  partition.policy = std::move(own);
  partition.command = command_line(flags, {{"--kp", places::kKeys},
                                           {"--fac", places::kFacilities},
                                           {"--storage", places::kStorage},
                                           {"--metrics", std::nullopt}});
  FURNACE_CHECK(lend_metrics(partition, fac.metrics, partition.command));
  partition.command.emplace_back("--in-partition");
  return partition;
}

Result<Partition> vmi_partition(const CLI::App& flags, const VmiOptions& vmi,
                                const LaunchOptions& /*options*/) {
  Partition partition;
  const auto there = Directory::open(vmi.directory, Care::Content);
  partition.account = there ? sandbox::account_of(*there) : sandbox::partition_account();
  // Every driver but Xen's is content with what QEMU's needs.
  partition.policy_name = "vmi-qemu";
  constexpr uint64_t most_files = 4096;  // three descriptors for each app
  partition.open_files = most_files;
  partition.file_size = 0;  // it writes none
  std::map<std::string, std::optional<std::string>> instead{{"--vmi", places::kVmi},
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
    FURNACE_TRY(const auto confine,
                sandbox::confine_helper(installed_directory("policies") / "broker.policy"));
    FURNACE_TRY(const auto forbidden, furnace::vmi::Forbidden::parse(vmi.forbidden));
    const auto access = forbidden.to({}).has(furnace::vmi::Permission::Write)
                            ? hypervisor::RamAccess::Read
                            : hypervisor::RamAccess::ReadWrite;
    FURNACE_TRY(auto lent, hypervisor::lend_qemu(vmi.vm, access, confine));
    FURNACE_CHECK(hand_over(lent.text, std::move(lent.descriptors)));
    if (!lent.visitors.empty()) partition.leftovers.emplace_back(lent.visitors);
  } else if (driver == "xen") {
    FURNACE_TRY(auto lent, hypervisor::lend_xen(vmi.vm));
    FURNACE_CHECK(hand_over(lent.text, std::move(lent.descriptors)));
    instead["--driver"] = "xen";
    partition.policy_name = "vmi-xen";
  } else if (fs::exists(vmi.vm)) {
    const std::string place = fs::path(places::kShared) / fs::path(vmi.vm).filename();
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
  FURNACE_TRY(const Directory sockets, Directory::make(vmi.directory, Care::Content));
  FURNACE_CHECK(add_writable(partition, sockets, places::kVmi));
  partition.tidy = [path = sockets.path()] { protocol::remove_sockets(path, protocol::kVmiSockets); };
  for (const auto& [option, file] : {std::pair("--profile", vmi.profile), std::pair("--btf", vmi.types)}) {
    if (file.empty()) continue;
    const std::string place = fs::path("/opt/kernels/rekall") / fs::path(file).filename();
    FURNACE_CHECK(add_large_file(partition, file, place));
    instead[option] = place;
  }
  FURNACE_CHECK(lend_metrics(partition, vmi.metrics, more));
  instead["--metrics"] = std::nullopt;
  partition.command = command_line(flags, instead);
  partition.command.insert(partition.command.begin(), more.begin(), more.end());
  return partition;
}

}  // namespace furnace::launch
