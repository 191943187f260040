// What waits to be taken by a peer.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <span>
#include <string>

#include "zmtp/message.h"

namespace furnace::zmtp {

/// A part to send. With an owner large content goes without a copy, and its owner is let go when the kernel
/// has all of it.
struct Outgoing {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner = nullptr;
};

class OutQueue {
 public:
  /// Sends a message, or as much of it as the socket takes; the rest waits. False: the connection is broken.
  [[nodiscard]] bool send(int socket, std::span<const Outgoing> parts);
  /// The same of bytes that are frames already.
  [[nodiscard]] bool send(int socket, std::string frames);
  /// Sends what waits, as much as the socket takes.
  [[nodiscard]] bool flush(int socket);

  [[nodiscard]] size_t waiting() const { return waiting_; }
  void clear();

 private:
  struct Chunk {
    std::shared_ptr<const void> owner;
    std::span<const std::byte> left;
  };
  [[nodiscard]] bool put(int socket, std::string bytes);
  void keep(std::shared_ptr<const void> owner, std::span<const std::byte> bytes);

  std::deque<Chunk> chunks_;
  size_t waiting_ = 0;  // with what a chunk takes besides
};

}  // namespace furnace::zmtp
