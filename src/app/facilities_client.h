// The tenant's end of the FAC sockets: storage, and messages to and from the backend.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <zmq.hpp>

#include "app/vmi_client.h"
#include "base/result.h"
#include "facilities.pb.h"

namespace furnace::app {

class FacilitiesClient {
 public:
  [[nodiscard]] static Result<FacilitiesClient> connect(zmq::context_t& context, const std::string& directory,
                                                        const std::string& app);

  [[nodiscard]] Status set(std::string_view key, std::string_view value);
  [[nodiscard]] Result<std::string> get(std::string_view key);
  /// One way to the backend.
  [[nodiscard]] Status notify(std::string_view text);
  /// Asks the backend and waits for its answer.
  [[nodiscard]] Result<std::string> request(std::string_view text);

  /// A message the backend sent to this app alone, or to all, if one waits.
  [[nodiscard]] std::optional<std::string> take_notification() { return take(messages_); }
  [[nodiscard]] std::optional<std::string> take_broadcast() { return take(broadcasts_); }

  [[nodiscard]] CallSocket& calls() { return calls_; }
  [[nodiscard]] zmq::socket_t& messages() { return messages_; }
  [[nodiscard]] zmq::socket_t& broadcasts() { return broadcasts_; }

 private:
  FacilitiesClient(CallSocket calls, zmq::socket_t messages, zmq::socket_t broadcasts)
      : calls_(std::move(calls)), messages_(std::move(messages)), broadcasts_(std::move(broadcasts)) {}
  [[nodiscard]] Result<facilities::FacMessage> exchange(const facilities::FacMessage& request);
  [[nodiscard]] static std::optional<std::string> take(zmq::socket_t& socket);

  CallSocket calls_;
  zmq::socket_t messages_;
  zmq::socket_t broadcasts_;
};

}  // namespace furnace::app
