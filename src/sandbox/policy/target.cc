#include "sandbox/policy/target.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/limits.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/text.h"

namespace furnace::policy {
namespace {

constexpr uint64_t kPage = 4096;

/// Numbers of a line of /proc/<pid>/status: "Uid:\t0\t0\t0\t0".
std::vector<uint64_t> numbers(std::string_view status, std::string_view name, int base = 10) {
  std::vector<uint64_t> found;
  const size_t at = status.find(fmt::format("\n{}:", name));
  if (at == std::string_view::npos) return found;
  for (const std::string_view word : words(cut(status.substr(at + name.size() + 2), '\n').before)) {
    const auto value = parse_number<uint64_t>(word, base);
    if (!value) break;
    found.push_back(*value);
  }
  return found;
}

}  // namespace

std::string Target::entry(std::string_view entry) const {
  return fmt::format("/proc/{}/{}", thread_, entry);
}

bool Target::read(uint64_t address, std::span<std::byte> out) const {
  const iovec local{out.data(), out.size()};
  const iovec remote{reinterpret_cast<void*>(address), out.size()};  // NOLINT: an address over there
  return ::process_vm_readv(thread_, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(out.size());
}

bool Target::write(uint64_t address, std::span<const std::byte> data) const {
  // Opened first, and used only if the thread was there until then: the memory stays its own
  // (seccomp_unotify(2)).
  const Fd memory(::open(entry("mem").c_str(), O_WRONLY | O_CLOEXEC));
  if (!memory.valid() || !waits()) return false;
  return ::pwrite(memory.get(), data.data(), data.size(), static_cast<off_t>(address)) ==
         static_cast<ssize_t>(data.size());
}

int Target::read_path(uint64_t address, std::string& path) const {
  path.clear();
  // Up to the end of a page at a time: after the path there may be nothing.
  while (path.size() < PATH_MAX) {
    const uint64_t at = address + path.size();
    const auto piece = std::min<uint64_t>(kPage - at % kPage, PATH_MAX - path.size());
    const size_t before = path.size();
    path.resize(before + piece);
    if (!read(at, std::as_writable_bytes(std::span(path).subspan(before)))) return -EFAULT;
    if (const size_t end = path.find('\0', before); end != std::string::npos) {
      path.resize(end);
      return 0;
    }
  }
  return -ENAMETOOLONG;
}

Result<Target::Identity> Target::identity() const {
  FURNACE_TRY(const Fd file, open_file(entry("status"), O_RDONLY));
  std::array<char, 4096> content;  // NOLINT: is filled
  const ssize_t size = ::read(file.get(), content.data(), content.size());
  if (size < 0) return fail_errno("{}", entry("status"));
  const std::string_view status(content.data(), static_cast<size_t>(size));
  Identity identity;
  const auto user = numbers(status, "Uid"), group = numbers(status, "Gid"), process = numbers(status, "Tgid"),
             inside = numbers(status, "NStgid"), mask = numbers(status, "Umask", 8),
             capabilities = numbers(status, "CapEff", 16);
  constexpr size_t of_filesystem = 3;  // real, effective, saved, file system
  if (user.size() <= of_filesystem || group.size() <= of_filesystem || process.empty())
    return fail(Errc::Failed, "{}: not understood", entry("status"));
  identity.process = static_cast<pid_t>(process[0]);
  identity.process_inside = inside.empty() ? identity.process : static_cast<pid_t>(inside.back());
  identity.filesystem_user = static_cast<uid_t>(user[of_filesystem]);
  identity.filesystem_group = static_cast<gid_t>(group[of_filesystem]);
  for (const uint64_t each : numbers(status, "Groups")) identity.groups.push_back(static_cast<gid_t>(each));
  if (!mask.empty()) identity.umask = static_cast<mode_t>(mask[0]);
  if (!capabilities.empty()) identity.capabilities = capabilities[0];
  return identity;
}

std::string Target::program() const {
  std::string path(PATH_MAX, '\0');
  const ssize_t size = ::readlink(entry("exe").c_str(), path.data(), path.size());
  path.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
  return path.empty() ? "?" : path;
}

}  // namespace furnace::policy
