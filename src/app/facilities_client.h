// The tenant's end of the FAC sockets: storage, and messages to and from the backend.
#pragma once

#include <concepts>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
#include <zmq.hpp>

#include "app/call_socket.h"
#include "base/result.h"
#include "facilities.pb.h"
#include "protocol/content.h"
#include "protocol/sequence.h"
#include "protocol/trace.h"

namespace furnace::app {

using protocol::Content;

struct Received : Content {
  uint64_t lost = 0;  ///< messages before it that were lost on the way
};

class FacilitiesClient {
 public:
  [[nodiscard]] static Result<FacilitiesClient> connect(zmq::context_t& context, const std::string& directory,
                                                        const std::string& app);

  // Storage. The error says why FAC refused.
  [[nodiscard]] Status set(std::string_view key, std::string_view value);
  [[nodiscard]] Result<std::string> get(std::string_view key);
  /// Errc::NotFound if there is no such key.
  [[nodiscard]] Status remove(std::string_view key);
  struct Stored {
    std::vector<std::pair<std::string, uint64_t>> sizes;  ///< bytes of each key's value
    uint64_t used = 0, quota = 0;                         ///< bytes of all values, and how many there may be
  };
  [[nodiscard]] Result<Stored> list();

  /// One way to the backend. Errc::Unavailable: so much waits already that this message was not taken.
  [[nodiscard]] Status notify(Content message);
  /// The same, kept on disk by FAC when this returns, and delivered whatever ends before that.
  [[nodiscard]] Status notify_durably(Content message);
  /// Asks the backend and waits for its answer.
  [[nodiscard]] Result<Received> request(Content message,
                                         std::chrono::milliseconds timeout = kRequestTimeout);
  static constexpr std::chrono::milliseconds kRequestTimeout{30'000};

  /// What is sent from now on is a part of this trace; an empty one: of none.
  void set_trace(protocol::TraceId trace) { trace_ = trace; }
  [[nodiscard]] protocol::TraceId trace() const { return trace_; }

  /// A message that the backend sent only to this app, or to all, if one waits.
  [[nodiscard]] std::optional<Received> take_notification();
  [[nodiscard]] std::optional<Received> take_broadcast();
  /// Whether `take_notification` has one although its socket may have none: they are read when there is to be
  /// sent, too.
  [[nodiscard]] bool has_notification() const { return !notifications_.empty(); }

  [[nodiscard]] CallSocket& call_socket() { return calls_; }
  [[nodiscard]] zmq::socket_t& messages() { return messages_; }
  [[nodiscard]] zmq::socket_t& broadcasts() { return broadcasts_; }
  /// What happens to the connection of messages, for a PresenceWatch.
  [[nodiscard]] zmq::socket_t take_monitor() { return std::move(monitor_); }
  /// FAC: one-way messages need it, and are refused after it has disconnected.
  void set_presence(Presence* presence) { presence_ = presence; }

 private:
  /// Whether a call that got no answer because FAC ended may be made again.
  enum class Repeat : uint8_t { No, Yes };

  FacilitiesClient(CallSocket calls, MonitoredSocket messages, zmq::socket_t broadcasts,
                   zmq::socket_t monitor)
      : calls_(std::move(calls)),
        monitor_(std::move(monitor)),
        messages_(std::move(messages)),
        broadcasts_(std::move(broadcasts)) {}
  [[nodiscard]] Result<facilities::FacMessage> exchange(const facilities::FacMessage& request,
                                                        std::string_view call, Repeat repeat);
  [[nodiscard]] facilities::BeMsg be_message(Content message) const;
  void read_messages();
  [[nodiscard]] std::optional<Received> received(const facilities::BeMsg& message,
                                                 protocol::SequenceTracker& last);

  CallSocket calls_;
  Presence* presence_ = nullptr;
  zmq::socket_t monitor_;  // of messages_, which it must outlive
  MonitoredSocket messages_;
  zmq::socket_t broadcasts_;
  protocol::Numbering messages_sent_, kept_;
  protocol::SequenceTracker last_notification_, last_broadcast_;
  std::deque<facilities::BeMsg> notifications_;
  protocol::TraceId trace_;
  bool is_open_ = true;  // FAC takes one-way messages
};

}  // namespace furnace::app
