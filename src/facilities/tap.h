// Shows who listens what passes through a FAC partition (`furnace tail`): one JSON object for each message.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "facilities.pb.h"
#include "zmtp/server.h"

namespace furnace::facilities {

class Tap {
 public:
  /// Publishes at ipc://`directory`/fac_tap.
  [[nodiscard]] static Result<Tap> bind(zmtp::Server& sockets, const std::string& directory);

  /// `kind`: "notify", "request", ...; `way`: "app>backend" or "backend>app". Does nothing while no client
  /// listens.
  void show(std::string_view way, std::string_view kind, const BeMsg& message);
  void show(std::string_view way, std::string_view kind, const BeMsgRet& answer);

 private:
  Tap(zmtp::Server& sockets, size_t place) : sockets_(&sockets), place_(place) {}
  [[nodiscard]] bool is_watched() const { return sockets_->has_subscribers(place_); }
  void publish(std::string_view way, std::string_view kind, std::string_view text, std::string_view data,
               std::string_view traceparent, uint32_t status);

  zmtp::Server* sockets_;
  size_t place_;
};

}  // namespace furnace::facilities
