// Sends on a socket within a limit of bytes: ZeroMQ's own limits count messages, of up to 11 MB each.
#pragma once

#include <atomic>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <zmq.hpp>

namespace furnace::protocol {

class BoundedSender {
 public:
  explicit BoundedSender(size_t limit) : limit_(limit), waiting_(std::make_shared<std::atomic<size_t>>(0)) {}

  /// Sends [front...][body]; false if the body does not fit into what may wait, or the socket does not take
  /// it.
  bool send(zmq::socket_t& socket, std::span<const std::string> front, std::string body);
  bool send(zmq::socket_t& socket, std::initializer_list<std::string> front, std::string body) {
    return send(socket, std::span(front.begin(), front.size()), std::move(body));
  }

  /// Bytes that wait in the socket.
  [[nodiscard]] size_t waiting() const { return waiting_->load(std::memory_order_relaxed); }
  /// Returns true if more than half of the limit waits: the sender should slow down until this is false.
  [[nodiscard]] bool is_filling() const { return waiting() > limit_ / 2; }

 private:
  size_t limit_;
  std::shared_ptr<std::atomic<size_t>> waiting_;  // also of the messages in the socket
};

}  // namespace furnace::protocol
