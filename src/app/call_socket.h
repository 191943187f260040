// A tenant's end of a socket for calls: of its VMI partition, and of its FAC partition.
#pragma once

#include <chrono>
#include <functional>
#include <span>
#include <string>
#include <zmq.hpp>

#include "app/presence.h"
#include "base/message_counter.h"
#include "base/result.h"

namespace furnace::app {

/// A socket that asks and waits, replaced when an answer stays out: a REQ that still waits could never ask
/// again.
class CallSocket {
 public:
  /// What a wait does when the connection is lost: it continues (the server may be restarted and take what
  /// still waits here), or it ends at once with Errc::Unavailable, as no answer can come.
  enum class WhenLost : uint8_t { Wait, GiveUp };

  [[nodiscard]] static Result<CallSocket> connect(zmq::context_t& context, std::string address,
                                                  std::string identity, WhenLost when_lost = WhenLost::Wait);
  CallSocket(CallSocket&&) = default;
  ~CallSocket() { close(); }

  /// Called when waiting is interrupted by a signal; an error ends the wait.
  void set_interrupt(std::function<Status()> check) { interrupt_ = std::move(check); }
  /// Counts what is asked from now on.
  void set_counter(MessageCounter* counter) { counter_ = counter; }
  void set_timeout(std::chrono::milliseconds timeout) { timeout_ = timeout; }
  /// The partition that answers: each question needs it, and none waits for it after it has disconnected.
  void set_presence(Presence* presence) { presence_ = presence; }

  /// A wait that lasts is reported; `call` names what it is for.
  [[nodiscard]] Result<zmq::message_t> ask(zmq::message_t request, std::string_view call = "a call");
  /// The same into a message that is used again and again: makes no allocation of its own.
  [[nodiscard]] Status ask(std::span<const std::byte> request, zmq::message_t& reply,
                           std::string_view call = "a call");

 private:
  CallSocket(zmq::context_t& context, std::string address, std::string identity, WhenLost when_lost)
      : context_(&context),
        address_(std::move(address)),
        identity_(std::move(identity)),
        when_lost_(when_lost) {}
  [[nodiscard]] Status open();
  /// Ends the connection, if there is one, and returns when it has ended.
  void close();
  /// Those that ended before a request are nothing to it: it goes over the next one.
  void forget_lost_connections();
  [[nodiscard]] Status send(zmq::message_t& request);
  [[nodiscard]] Status receive(zmq::message_t& reply, std::string_view call);
  [[nodiscard]] Status check_presence() const;
  [[nodiscard]] Status give_up(Error error);
  /// Waits until there may be an answer; false: the time is over. Errc::Unavailable: the connection is lost.
  [[nodiscard]] Result<bool> wait(std::chrono::milliseconds time);

  zmq::context_t* context_;
  std::string address_;
  std::string identity_;
  WhenLost when_lost_;
  zmq::socket_t socket_;
  zmq::socket_t monitor_;  // of socket_
  std::function<Status()> interrupt_;
  MessageCounter* counter_ = nullptr;
  Presence* presence_ = nullptr;
  std::chrono::milliseconds timeout_{30'000};
};

}  // namespace furnace::app
