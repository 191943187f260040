// Events on their way to the apps.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "vmi.pb.h"
#include "vmi/session.h"

namespace furnace::vmi {

/// Sends events, one a message, or many to an app that asked for that (EventRegister.gathers): a message
/// costs both ends many times what an event in it does. A single event is sent at once; those that
/// come within kGatherTime of the last message wait for its end.
///
/// What finds the app's queue full is counted as lost; the next event that finds room says how many were.
class EventOutbox {
 public:
  /// Sends to the socket with this identity, where the owner is served; false: its queue is full, or it has
  /// disconnected.
  using Send =
      std::function<bool(const Session& owner, const std::string& identity, const wire::VmiMessage&)>;
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kGatherTime{4};
  static constexpr int kMaxGathered = 250;  ///< in one message

  void set_send(Send send) { send_ = std::move(send); }

  /// Sends now, after what was gathered. Returns false if it is lost.
  bool send(Session& owner, wire::Event event);
  /// Sends with others, if others come fast.
  void gather(Session& owner, wire::Event event);
  /// Reports with the next event how many SYNC events held the guest until the watchdog expired.
  void note_timed_out(Session& owner, uint32_t events) { boxes_[&owner].timed_out += events; }
  /// Drops what an app that has disconnected has not got yet.
  void forget(Session& owner) { boxes_.erase(&owner); }

  /// When `send_due` wants to be called.
  [[nodiscard]] std::optional<Clock::time_point> next_deadline() const;
  void send_due(Clock::time_point now);

 private:
  struct Box {
    wire::VmiMessage message;
    int events = 0;
    uint32_t timed_out = 0;  ///< SYNC events, since the last message that was delivered
    Clock::time_point last_sent;
  };
  static void put(Box& box, wire::Event event);
  bool flush(Session& owner, Box& box);

  Send send_;
  std::map<Session*, Box> boxes_;
};

}  // namespace furnace::vmi
