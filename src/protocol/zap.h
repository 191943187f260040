// Who may connect: answers libzmq's authentication requests (ZeroMQ RFC 27, ZAP) from lists of public keys.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <zmq.hpp>

#include "base/limited_log.h"
#include "base/result.h"
#include "protocol/allow_list.h"

namespace furnace::protocol {

/// Lets in peers whose CURVE public key is on the list of the socket's domain, and no others. Make it before
/// the sockets it guards are bound, poll `socket()` and call `handle()` when it is readable: handshakes wait
/// for it. The messages of who was let in carry the key (`key_of`).
class Authenticator {
 public:
  /// Errc::Unavailable if the context has a handler already.
  [[nodiscard]] static Result<Authenticator> make(zmq::context_t& context);

  /// Who may connect to sockets of this domain (`serve_curve`), and whether one more may. The list must
  /// outlive this, or be removed.
  void guard(const std::string& domain, const AllowList& list, std::function<bool()> has_room = {}) {
    guards_[domain] = {&list, std::move(has_room)};
  }
  void forget(const std::string& domain) { guards_.erase(domain); }

  [[nodiscard]] zmq::socket_t& socket() { return socket_; }
  void handle();
  /// Writes how many refused peers were left out of the log. Call it now and then.
  void tell_left_out() { refusals_.tell_left_out(); }

  [[nodiscard]] uint64_t refused() const { return refused_; }

 private:
  explicit Authenticator(zmq::socket_t socket) : socket_(std::move(socket)) {}

  zmq::socket_t socket_;
  struct Guard {
    const AllowList* list = nullptr;
    std::function<bool()> has_room;
  };
  std::map<std::string, Guard, std::less<>> guards_;
  uint64_t refused_ = 0;
  log::Limited refusals_{"peers whose keys are not on the allow-list"};
};

/// The public key of who sent this message; empty if it did not come over a connection that an Authenticator
/// let in.
[[nodiscard]] std::string_view key_of(const zmq::message_t& frame);

}  // namespace furnace::protocol
