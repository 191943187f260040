#include "base/fd.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace furnace {

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    close();
    number_ = std::exchange(other.number_, -1);
  }
  return *this;
}

void Fd::close() {
  if (number_ >= 0) ::close(std::exchange(number_, -1));
}

Result<Fd> open_file(const std::filesystem::path& path, int flags, unsigned mode) {
  Fd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd.valid()) return fail_errno("{}", path.string());
  return fd;
}

Result<Fd> connect_unix(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& name = path.native();
  if (name.size() >= sizeof address.sun_path)
    return fail(Errc::Invalid, "{}: socket path longer than {} bytes", name, sizeof address.sun_path - 1);
  std::memcpy(address.sun_path, name.data(), name.size());

  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return fail_errno("{}: socket", name);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno("{}: connect", name);
  return fd;
}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this != &other) {
    unmap();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void Mapping::unmap() {
  if (data_ != nullptr) ::munmap(data_, size_);
  data_ = nullptr;
}

Result<Mapping> Mapping::whole_file(const Fd& fd, bool writable) {
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return fail_errno("fstat");
  const auto size = static_cast<size_t>(info.st_size);
  if (size == 0) return Mapping();
  void* data = ::mmap(nullptr, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd.get(), 0);
  if (data == MAP_FAILED) return fail_errno("mmap of {} bytes", size);
  return Mapping(static_cast<std::byte*>(data), size);
}

}  // namespace furnace
