#include "sandbox/account.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <set>
#include <vector>

namespace furnace::sandbox {
namespace {

bool is_given_away(const struct stat& status) {
  return status.st_uid == 0 || is_partition_user(status.st_uid);
}

/// Of what is open, whatever its name leads to by now; O_PATH is enough. What has its owner already may lie
/// on a file system that takes no writes.
Status give(int descriptor, const std::filesystem::path& name, const struct stat& status,
            const Account& account) {
  if (status.st_uid == account.user && status.st_gid == account.group) return {};
  if (::fchownat(descriptor, "", account.user, account.group, AT_EMPTY_PATH) != 0)
    return fail_errno("{}: change of owner", name.string());
  return {};
}

constexpr uint16_t kAll = 7, kRead = 4, kReadAndSearch = 5, kNothing = 0;
constexpr const char* kOfWhatIsMade = "system.posix_acl_default";
constexpr const char* kOfItself = "system.posix_acl_access";

/// acl(5): the rights of the owner, of these users, of the group, of others. The form of the attribute is
/// that of include/uapi/linux/posix_acl_xattr.h.
bool set_list(int descriptor, const char* attribute, const std::set<uid_t>& users,
              std::array<uint16_t, 4> rights) {
  struct Entry {
    uint16_t tag, rights;
    uint32_t id;
  };
  constexpr uint32_t nobody = UINT32_MAX, version = 2;
  std::vector<Entry> entries{{0x01, rights[0], nobody}};
  for (const uid_t user : users) entries.push_back({0x02, rights[1], user});
  entries.insert(entries.end(), {{0x04, rights[2], nobody}, {0x10, kAll, nobody}, {0x20, rights[3], nobody}});
  std::string list(sizeof version + entries.size() * sizeof(Entry), '\0');
  std::memcpy(list.data(), &version, sizeof version);
  std::memcpy(list.data() + sizeof version, entries.data(), entries.size() * sizeof(Entry));
  // By /proc, as sockets can't be opened: the link leads to what the descriptor is of.
  return ::setxattr(fmt::format("/proc/self/fd/{}", descriptor).c_str(), attribute, list.data(), list.size(),
                    0) == 0;
}

constexpr std::array<uint16_t, 4> kToConnect{kAll, kAll, kReadAndSearch, kReadAndSearch};

/// Calls `visit` with a descriptor (O_PATH) of each regular file that has no other name, and of each socket.
template <typename Visit>
Status for_each_file(const Directory& directory, const Visit& visit) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory.path(), error)) {
    const auto name = entry.path().filename();
    const Fd file(::openat(directory.descriptor(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));  // NOLINT
    struct stat status {};
    if (!file.valid() || ::fstat(file.get(), &status) != 0) continue;
    if (S_ISSOCK(status.st_mode) || (S_ISREG(status.st_mode) && status.st_nlink == 1))
      FURNACE_CHECK(visit(file.get(), entry.path(), status));
  }
  return {};
}

}  // namespace

std::optional<Account> partition_account() {
  if (::geteuid() != 0) return std::nullopt;
  const passwd* const entry = ::getpwnam("furnace");  // NOLINT(concurrency-mt-unsafe): before threads
  if (entry != nullptr && entry->pw_uid != 0) return Account{entry->pw_uid, entry->pw_gid, true};
  return Account{kPartitionsNumber, kPartitionsNumber, false};
}

std::optional<Account> account_of(const Directory& directory) {
  auto account = partition_account();
  struct stat status {};
  if (account && is_partition_user(directory.owner()) && directory.owner() != account->user &&
      ::fstat(directory.descriptor(), &status) == 0)
    account = Account{status.st_uid, status.st_gid, false};
  return account;
}

Status hand_over(const Directory& directory, const Account& account) {
  struct stat own {};
  if (::fstat(directory.descriptor(), &own) != 0) return fail_errno("{}", directory.path().string());
  if (is_given_away(own)) FURNACE_CHECK(give(directory.descriptor(), directory.path(), own, account));
  // Sockets that others bind there later can be connected to as well; a file system without such lists does
  // without.
  (void)set_list(directory.descriptor(), kOfWhatIsMade, {account.user}, kToConnect);
  return for_each_file(directory, [&](int file, const auto& name, const struct stat& status) -> Status {
    return is_given_away(status) ? give(file, name, status, account) : Status();
  });
}

Status let_connect(const Directory& directory, const Account& account) {
  (void)set_list(directory.descriptor(), kOfWhatIsMade, {directory.owner(), account.user}, kToConnect);
  return for_each_file(directory, [&](int file, const auto& name, const struct stat& status) -> Status {
    if (S_ISSOCK(status.st_mode) && !set_list(file, kOfItself, {account.user}, kToConnect))
      return fail_errno("{}: user {} must be able to connect", name.string(), account.user);
    return {};
  });
}

Status let_read(const Fd& file, const std::filesystem::path& name, const Account& account) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return fail_errno("{}", name.string());
  if ((status.st_mode & S_IROTH) != 0) return {};
  const auto of = [&](unsigned shift) { return static_cast<uint16_t>(status.st_mode >> shift & kAll); };
  if (!set_list(file.get(), kOfItself, {account.user}, {of(6), kRead, kNothing, of(0)}))
    return fail_errno("{}: user {} must be able to read it (chmod o+r)", name.string(), account.user);
  return {};
}

}  // namespace furnace::sandbox
