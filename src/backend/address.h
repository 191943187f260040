// Where an app's messages come from, and the way back (wire.md section 3).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/framing.h"

namespace furnace::backend {

/// Which peers the socket has. Dealer: the message proxies of 1.0, each for one app. Router: apps through
/// blind proxies (or none), and message proxies; which of them an app uses is known when it has sent
/// something.
enum class Mode : uint8_t { Dealer, Router };

/// A message's frames understood: [connection, of a Router][identity][empty, of a request][body].
struct Incoming {
  std::string connection;  ///< ZeroMQ's name of the peer; of a Dealer: empty
  std::string app;         ///< its id, without the -r or -d of its identity
  bool wants_answer = false;
  /// The connection's name is the app's identity itself: a FAC partition of 1.0 that a blind proxy connects.
  bool is_direct = false;
};
[[nodiscard]] std::optional<Incoming> understand(const protocol::Frames& frames, Mode mode);

/// The frames in front of an answer to it, or of a message to its app.
[[nodiscard]] std::vector<std::string> way_back(const Incoming& incoming, Mode mode);
[[nodiscard]] std::vector<std::string> way_to(const Incoming& last_heard, Mode mode);

/// The app's id in an identity: without its "-r" or "-d".
[[nodiscard]] std::string_view app_of(std::string_view identity);

}  // namespace furnace::backend
