// One connection of a zmtp::Server, and one place that it listens at.
#pragma once

#include <optional>

#include "zmtp/server.h"

namespace furnace::zmtp {

struct Server::Connection {
  Peer peer;
  Fd socket;
  Decoder decoder;
  OutQueue out;
  bool is_ready = false;                                  ///< both sides have said READY
  std::string input;                                      ///< was read, and not looked at yet
  std::vector<Held> held = {};                            ///< of the message that comes
  Count small = std::make_shared<size_t>(0);              ///< its small messages on their way
  std::optional<Clock::time_point> begun = Clock::now();  ///< the handshake, or the message that comes
  std::multiset<std::string, std::less<>> topics = {};
  uint32_t watched = 0;  ///< events of its socket
};

struct Server::Place {
  size_t number;
  std::string path;
  Kind kind;
  Room room;
  Fd socket;
  std::map<std::string, Connection*, std::less<>> peers = {};
  size_t connections = 0;
  uint64_t granted = 0;    ///< when it got room for a large message last
  bool is_paused = false;  ///< no peer is accepted
};

}  // namespace furnace::zmtp
