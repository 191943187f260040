#include "hypervisor/qemu/trust.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "base/file.h"
#include "base/printable.h"
#include "base/text.h"

namespace furnace::hypervisor {
namespace {

/// Debian and Ubuntu; Fedora, SUSE and Arch; OpenNebula.
constexpr std::array kAccounts = {"libvirt-qemu", "qemu", "oneadmin"};
constexpr size_t kMostOfFile = 64 << 10;

std::optional<uid_t> user_id(const std::string& name) {
  const passwd* const entry = ::getpwnam(name.c_str());  // NOLINT(concurrency-mt-unsafe): before threads
  return entry != nullptr ? std::optional(entry->pw_uid) : std::nullopt;
}

std::string user_name(uid_t user) {
  const passwd* const entry = ::getpwuid(user);  // NOLINT(concurrency-mt-unsafe): before threads
  return entry != nullptr ? printable(entry->pw_name) : std::to_string(user);
}

/// Users whose VMs root may read.
Result<std::vector<uid_t>> listed_users() {
  std::vector<uid_t> users{0};
  for (const char* name : kAccounts)
    if (const auto user = user_id(name)) users.push_back(*user);
  Fd file(::open(kUsersFile, O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // NOLINT: variadic
  struct stat status {};
  if (!file.valid()) return users;
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != 0 ||
      (status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return fail(Errc::Denied, "{}: must be a file that only root can write", kUsersFile);
  FURNACE_TRY(const std::string text, read_descriptor(file, kMostOfFile));
  for (const std::string_view line : lines(text)) {
    const std::string name(line.substr(0, line.find_first_of("# \t\r")));
    if (name.empty()) continue;
    const auto user = user_id(name);
    if (!user) return fail(Errc::Invalid, "{}: no user '{}'", kUsersFile, printable(name));
    users.push_back(*user);
  }
  return users;
}

/// The real, effective and saved user: of a program that changes them all count.
Result<std::array<uid_t, 3>> users_of(pid_t pid) {
  FURNACE_TRY(const std::string text, read_file(fmt::format("/proc/{}/status", pid), kMostOfFile));
  std::array<uid_t, 3> users{};
  const size_t at = text.find("\nUid:");
  if (at == std::string::npos ||
      std::sscanf(text.c_str() + at, "\nUid: %u %u %u", users.data(), &users[1], &users[2]) != 3)
    return fail(Errc::Failed, "/proc/{}/status names no user", pid);
  return users;
}

Status check_program(pid_t pid) {
  struct stat status {};
  const std::string link = fmt::format("/proc/{}/exe", pid);
  if (::stat(link.c_str(), &status) != 0) return fail_errno("{}", link);
  if (status.st_uid == 0 && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0) return {};
  std::error_code ignored;
  return fail(Errc::Denied, "its program {} can be changed by user {}",
              printable(std::filesystem::read_symlink(link, ignored).string()), user_name(status.st_uid));
}

}  // namespace

Status check_trusted(pid_t pid) {
  FURNACE_TRY(const auto users, users_of(pid));
  const uid_t own = ::geteuid();
  if (own != 0) {
    const auto other = std::find_if(users.begin(), users.end(), [&](uid_t user) { return user != own; });
    if (other == users.end()) return {};
    return fail(Errc::Denied, "it belongs to user {}: Permission denied (run as that user, or as root)",
                user_name(*other));
  }
  FURNACE_TRY(const auto listed, listed_users());
  for (const uid_t user : users)
    if (std::find(listed.begin(), listed.end(), user) == listed.end())
      return fail(Errc::Denied, "it belongs to user {}, who is not listed in {} (or run as that user)",
                  user_name(user), kUsersFile);
  return check_program(pid);
}

}  // namespace furnace::hypervisor
