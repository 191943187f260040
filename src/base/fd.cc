#include "base/fd.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
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

namespace {

Result<sockaddr_un> unix_address(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& name = path.native();
  if (name.size() >= sizeof address.sun_path)
    return fail(Errc::Invalid, "{}: socket path longer than {} bytes", name, sizeof address.sun_path - 1);
  std::memcpy(address.sun_path, name.data(), name.size());
  return address;
}

Result<Fd> connect_to(const std::filesystem::path& path, int type) {
  FURNACE_TRY(const sockaddr_un address, unix_address(path));
  const std::string& name = path.native();
  Fd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return fail_errno("{}: socket", name);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EAGAIN)
      return fail(Errc::Unavailable, "{}: connect: too many others wait there already", name);
    return fail_errno("{}: connect", name);
  }
  if (::fcntl(fd.get(), F_SETFL, 0) != 0) return fail_errno("{}: fcntl", name);  // NOLINT: variadic
  return fd;
}

}  // namespace

Result<Fd> connect_unix(const std::filesystem::path& path) {
  return connect_to(path, SOCK_STREAM);
}

Result<Fd> connect_messages(const std::filesystem::path& path) {
  return connect_to(path, SOCK_SEQPACKET);
}

Result<Fd> listen_for_messages(const std::filesystem::path& path) {
  constexpr int backlog = 16;
  FURNACE_TRY(const sockaddr_un address, unix_address(path));
  Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return fail_errno("{}: socket", path.string());
  ::unlink(path.c_str());
  ::fchmod(fd.get(), S_IRUSR | S_IWUSR);  // of what bind makes
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd.get(), backlog) != 0)
    return fail_errno("{}", path.string());
  return fd;
}

Result<Peer> peer_of(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return fail_errno("the other end of a socket");
  return Peer{peer.pid, peer.uid};
}

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno("pipe");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

namespace {

Result<std::pair<Fd, Fd>> pair_of(int type) {
  int ends[2];
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0) return fail_errno("socketpair");
  return std::pair(Fd(ends[0]), Fd(ends[1]));
}

}  // namespace

Result<std::pair<Fd, Fd>> socket_pair() {
  return pair_of(SOCK_STREAM);
}

Result<std::pair<Fd, Fd>> message_socket_pair() {
  return pair_of(SOCK_SEQPACKET);
}

Status send_with(const Fd& socket, std::string_view bytes, int descriptor) {
  // cmsg(3): the buffer of control data is aligned like its header.
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  while (!bytes.empty()) {
    iovec part{const_cast<char*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (descriptor >= 0) {
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    }
    const ssize_t sent = ::sendmsg(socket.get(), &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return fail_errno("send");
    descriptor = -1;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return {};
}

bool receive_with(const Fd& socket, char& byte, Fd& descriptor) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  iovec part{&byte, 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got = 0;
  do {
    got = ::recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got != 1) return false;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    int number = -1;
    std::memcpy(&number, CMSG_DATA(header), sizeof number);
    descriptor = Fd(number);
  }
  return true;
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
