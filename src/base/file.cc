#include "base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/directory.h"
#include "base/signals.h"

namespace furnace {

Result<std::string> read_descriptor(const Fd& file, size_t limit) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return fail_errno("status");
  const auto expected = static_cast<size_t>(status.st_size);  // 0 for files of /proc
  if (expected > limit) return fail(Errc::Invalid, "larger than {} bytes", limit);
  constexpr size_t chunk = 4 << 10;
  std::string content(expected + chunk, '\0');
  for (size_t filled = 0;;) {
    const ssize_t got = ::read(file.get(), content.data() + filled, content.size() - filled);
    if (got < 0) return fail_errno("read");
    filled += static_cast<size_t>(got);
    if (filled > limit) return fail(Errc::Invalid, "larger than {} bytes", limit);
    if (got == 0) {
      content.resize(filled);
      return content;
    }
    if (content.size() - filled < chunk) content.resize(2 * content.size());
  }
}

Result<Fd> open_to_read(const std::filesystem::path& path) {
  // To open a FIFO that has no writer must not wait without a limit; one that is written to is read as usual.
  FURNACE_TRY(Fd file, open_file(path, O_RDONLY | O_NONBLOCK));
  if (::fcntl(file.get(), F_SETFL, 0) != 0)
    return fail_errno("{}: fcntl", path.string());  // NOLINT: variadic
  return file;
}

Result<std::string> read_file(const std::filesystem::path& path, size_t limit) {
  FURNACE_TRY(const Fd file, open_to_read(path));
  auto content = read_descriptor(file, limit);
  if (!content) return fail(content.error(), path.string());
  return content;
}

Status write_file(const std::filesystem::path& path, std::string_view content, unsigned mode) {
  const HoldSignals until_it_is_whole;
  FURNACE_TRY(const NamedPlace place, place_of_file(path, Care::Links));
  const std::string temporary = place.name + fmt::format(".{}.tmp", ::getpid());
  ::unlinkat(place.directory.descriptor(), temporary.c_str(), 0);  // of another process that had our number
  const Status written = [&]() -> Status {
    FURNACE_TRY(const Fd fd, place.directory.open_file(temporary, O_WRONLY | O_CREAT | O_EXCL, mode));
    for (std::string_view rest = content; !rest.empty();) {
      const ssize_t put = ::write(fd.get(), rest.data(), rest.size());
      if (put < 0) return fail_errno("{}: write", path.string());
      rest.remove_prefix(static_cast<size_t>(put));
    }
    return place.directory.rename(temporary, place.name);
  }();
  if (!written) ::unlinkat(place.directory.descriptor(), temporary.c_str(), 0);
  return written;
}

Result<Fd> temporary_file() {
  std::error_code ignored;
  return open_file(std::filesystem::temp_directory_path(ignored), O_TMPFILE | O_RDWR, 0600);
}

Result<Fd> lock_file(const std::filesystem::path& path) {
  FURNACE_TRY(Fd fd, open_file(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return fail(Errc::Unavailable, "{}: held by another process", path.string());
    return fail_errno("{}: flock", path.string());
  }
  return fd;
}

}  // namespace furnace
