// Shows who listens what passes through a FAC partition (`furnace tail`): one JSON object for each message.
#pragma once

#include <string>
#include <string_view>
#include <zmq.hpp>

#include "base/result.h"
#include "facilities.pb.h"

namespace furnace::facilities {

class Tap {
 public:
  /// Publishes at ipc://`directory`/fac_tap.
  [[nodiscard]] static Result<Tap> bind(zmq::context_t& context, const std::string& directory);

  /// `kind`: "notify", "request", ...; `way`: "app>backend" or "backend>app". Nothing is done while nobody
  /// listens.
  void show(std::string_view way, std::string_view kind, const BeMsg& message);
  void show(std::string_view way, std::string_view kind, const BeMsgRet& answer);

  /// Readable when somebody begins or ends to listen.
  [[nodiscard]] zmq::socket_t& socket() { return socket_; }
  void handle();

 private:
  explicit Tap(zmq::socket_t socket) : socket_(std::move(socket)) {}
  void publish(std::string_view way, std::string_view kind, std::string_view text, std::string_view data,
               std::string_view traceparent, uint32_t status);

  zmq::socket_t socket_;
  bool watched_ = false;
};

}  // namespace furnace::facilities
