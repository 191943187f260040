#include "launch/run/ready_socket.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/directories.h"

namespace furnace::launch {

Result<ReadySocket> ReadySocket::bind() {
  ReadySocket made;
  FURNACE_TRY(const Directory directory, make_run_directory());
  made.path_ = (directory.path() / fmt::format("run.{}", ::getpid())).string();
  sockaddr_un address{AF_UNIX, {}};
  if (made.path_.size() >= sizeof address.sun_path)
    return fail(Errc::Invalid, "{}: too long for a socket; set FURNACE_RUN", made.path_);
  std::memcpy(address.sun_path, made.path_.c_str(), made.path_.size());
  made.socket_ = Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  ::unlink(made.path_.c_str());
  const int on = 1;
  const bool bound = ::bind(made.socket_.get(), reinterpret_cast<const sockaddr*>(&address),  // NOLINT
                            sizeof address) == 0 &&
                     ::setsockopt(made.socket_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0;
  if (!bound) return fail_errno("{}", made.path_);
  return made;
}

ReadySocket::~ReadySocket() {
  if (socket_.valid()) ::unlink(path_.c_str());
}

pid_t ReadySocket::take() const {
  std::array<char, 256> text{};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred))> control{};
  iovec piece{text.data(), text.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
  const cmsghdr* const header = CMSG_FIRSTHDR(&message);
  if (got <= 0 || header == nullptr || header->cmsg_type != SCM_CREDENTIALS) return 0;
  ucred sender{};
  std::memcpy(&sender, CMSG_DATA(header), sizeof sender);
  const std::string_view said(text.data(), static_cast<size_t>(got));
  return said.find("READY=1") == std::string_view::npos ? 0 : sender.pid;
}

}  // namespace furnace::launch
