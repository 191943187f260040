#include "launch/app_sockets.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "base/directory.h"
#include "base/file.h"
#include "base/log.h"
#include "base/places.h"
#include "base/printable.h"
#include "launch/additions.h"
#include "protocol/framing.h"
#include "protocol/server_keys.h"
#include "protocol/socket_files.h"
#include "sandbox/account.h"
#include "sandbox/helper.h"

namespace furnace::launch {

namespace fs = std::filesystem;
using sandbox::Partition;

namespace {

/// Where an app's own socket to the VMI partition is, or will be: a directory that no other app sees.
Result<Directory> own_directory(const Directory& all, const std::string& app,
                                const std::optional<sandbox::Account>& account) {
  if (!all.has(app)) {
    // It gets its name when it is whole: the VMI partition checks it at once.
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

/// Waits a moment for the app's socket. The app gets no other, whatever else is there.
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

}  // namespace

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

}  // namespace furnace::launch
