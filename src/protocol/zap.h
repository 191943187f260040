// Who may connect: answers libzmq's authentication requests (ZeroMQ RFC 27, ZAP) from a list of public keys.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <zmq.hpp>

#include "base/result.h"

namespace furnace::protocol {

/// Lets in peers whose CURVE public key is on the list, nobody else. Make it before the sockets it guards are
/// bound, poll `socket()` and call `handle()` when it is readable: handshakes wait for it.
class Authenticator {
 public:
  /// Errc::Unavailable if the context has a handler already.
  [[nodiscard]] static Result<Authenticator> make(zmq::context_t& context);

  /// Allows a public key (Z85).
  void allow(const std::string& public_key) { allowed_.insert(public_key); }

  [[nodiscard]] zmq::socket_t& socket() { return socket_; }
  void handle();

  [[nodiscard]] uint64_t refused() const { return refused_; }

 private:
  explicit Authenticator(zmq::socket_t socket) : socket_(std::move(socket)) {}

  zmq::socket_t socket_;
  std::set<std::string, std::less<>> allowed_;
  uint64_t refused_ = 0;
};

}  // namespace furnace::protocol
