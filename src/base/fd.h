// Owners of kernel resources: a descriptor, a memory mapping.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace furnace {

/// A file descriptor that is closed with its owner.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int number) : number_(number) {}
  Fd(Fd&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd() { close(); }

  [[nodiscard]] int get() const { return number_; }
  [[nodiscard]] bool valid() const { return number_ >= 0; }
  void close();

 private:
  int number_ = -1;
};

/// open(2) with O_CLOEXEC; the error names the path.
[[nodiscard]] Result<Fd> open_file(const std::filesystem::path& path, int flags, unsigned mode = 0);

/// A connected stream socket to a UNIX socket path; the error names the path. It does not wait:
/// Errc::Unavailable if the listener's queue of connections is full.
[[nodiscard]] Result<Fd> connect_unix(const std::filesystem::path& path);

/// The same to one that keeps messages apart (SOCK_SEQPACKET).
[[nodiscard]] Result<Fd> connect_messages(const std::filesystem::path& path);

/// Listens for such at a path, which only its user may use; what was left there is replaced.
[[nodiscard]] Result<Fd> listen_for_messages(const std::filesystem::path& path);

/// A connected pair of stream sockets.
[[nodiscard]] Result<std::pair<Fd, Fd>> socket_pair();

/// The same of sockets that keep messages apart (SOCK_SEQPACKET).
[[nodiscard]] Result<std::pair<Fd, Fd>> message_socket_pair();

/// The process at the other end of a UNIX socket: that which listened, if we connected (SO_PEERCRED,
/// unix(7)).
struct Peer {
  pid_t process = 0;
  uid_t user = 0;
};
[[nodiscard]] Result<Peer> peer_of(int socket);

struct Pipe {
  Fd reading, writing;
};
[[nodiscard]] Result<Pipe> make_pipe();

/// Sends all of `bytes` on a UNIX socket, and a descriptor with them unless it is negative (SCM_RIGHTS).
[[nodiscard]] Status send_with(const Fd& socket, std::string_view bytes, int descriptor);

/// Receives one byte, and the descriptor that came with it if one did. False at the end of the stream.
[[nodiscard]] bool receive_with(const Fd& socket, char& byte, Fd& descriptor);

/// A memory mapping that is unmapped with its owner.
class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping() { unmap(); }

  /// Maps the whole of `fd` shared. A file of no bytes gives an empty mapping.
  [[nodiscard]] static Result<Mapping> whole_file(const Fd& fd, bool writable);

  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }
  [[nodiscard]] std::span<std::byte> writable_bytes() { return {data_, size_}; }

 private:
  Mapping(std::byte* data, size_t size) : data_(data), size_(size) {}
  void unmap();

  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace furnace
