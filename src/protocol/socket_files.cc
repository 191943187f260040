#include "protocol/socket_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

namespace furnace::protocol {
namespace {

void remove_from(const Fd& directory, const SocketFiles& files) {
  for (const char* name : files.names) {
    struct stat status {};
    if (name != nullptr && ::fstatat(directory.get(), name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISSOCK(status.st_mode))
      ::unlinkat(directory.get(), name, 0);
  }
}

}  // namespace

void remove_sockets(const std::filesystem::path& directory, const SocketFiles& files) {
  std::error_code error;
  if (!std::filesystem::exists(directory / files.lock, error)) return;  // no partition has ever served there
  const auto lock = lock_file(directory / files.lock);
  const auto opened = open_file(directory, O_RDONLY | O_DIRECTORY);
  if (!lock || !opened) return;
  remove_from(*opened, files);
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    const Fd below(::openat(opened->get(), entry.path().filename().c_str(),
                            O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));  // NOLINT: variadic
    if (below.valid()) remove_from(below, files);
  }
}

}  // namespace furnace::protocol
