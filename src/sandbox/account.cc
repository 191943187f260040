#include "sandbox/account.h"

#include <pwd.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>

namespace furnace::sandbox {
namespace {

// Reserved, given to nobody: 65000 to 65533 (Debian Policy, 9.2.2).
constexpr uid_t kNobodysNumber = 65432;

Status give(const std::filesystem::path& path, const Account& account) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return fail_errno("{}", path.string());
  if (status.st_uid != 0) return {};
  if (::lchown(path.c_str(), account.user, account.group) != 0)
    return fail_errno("{}: change of owner", path.string());
  return {};
}

constexpr uint16_t kAll = 7, kRead = 4, kReadAndSearch = 5, kNothing = 0;

/// acl(5): the rights of the owner, of the account, of the group, of others. The form of the attribute is
/// that of include/uapi/linux/posix_acl_xattr.h.
bool set_list(const std::filesystem::path& path, const char* attribute, const Account& account,
              std::array<uint16_t, 4> rights) {
  struct Entry {
    uint16_t tag, rights;
    uint32_t id;
  };
  constexpr uint32_t nobody = UINT32_MAX;
  struct {
    uint32_t version;
    std::array<Entry, 5> entries;
  } const list{2,
               {Entry{0x01, rights[0], nobody}, Entry{0x02, rights[1], account.user},
                Entry{0x04, rights[2], nobody}, Entry{0x10, kAll, nobody}, Entry{0x20, rights[3], nobody}}};
  return ::setxattr(path.c_str(), attribute, &list, sizeof list, 0) == 0;
}

}  // namespace

std::optional<Account> partition_account() {
  if (::geteuid() != 0) return std::nullopt;
  const passwd* const entry = ::getpwnam("furnace");  // NOLINT(concurrency-mt-unsafe): before threads
  if (entry != nullptr && entry->pw_uid != 0) return Account{entry->pw_uid, entry->pw_gid, true};
  return Account{kNobodysNumber, kNobodysNumber, false};
}

Status hand_over(const std::filesystem::path& directory, const Account& account) {
  FURNACE_CHECK(give(directory, account));
  // Sockets that others bind there later can be connected to as well; a file system without such lists does
  // without.
  (void)set_list(directory, "system.posix_acl_default", account,
                 {kAll, kAll, kReadAndSearch, kReadAndSearch});
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error))
    if (!entry.is_directory(error) || entry.is_symlink(error)) FURNACE_CHECK(give(entry.path(), account));
  return {};
}

Status let_read(const std::filesystem::path& file, const Account& account) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) return fail_errno("{}", file.string());
  const auto of = [&](unsigned shift) { return static_cast<uint16_t>(status.st_mode >> shift & kAll); };
  if (!set_list(file, "system.posix_acl_access", account, {of(6), kRead, kNothing, of(0)}))
    return fail_errno("{}: user {} must be able to read it (chmod o+r)", file.string(), account.user);
  return {};
}

}  // namespace furnace::sandbox
