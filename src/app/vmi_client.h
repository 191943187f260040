// The tenant's end of the VMI socket: one call, or a prepared message of many, and its answer.
#pragma once

#include <chrono>
#include <functional>
#include <span>
#include <string>
#include <variant>
#include <zmq.hpp>

#include "app/presence.h"
#include "base/message_counter.h"
#include "base/result.h"
#include "guest/address.h"
#include "protocol/calls.h"
#include "protocol/framing.h"
#include "vmi.pb.h"

namespace furnace::app {

/// An argument (a number, text or bytes, or left out) or a result.
using Processes = google::protobuf::RepeatedPtrField<wire::Process>;
using Argument = std::variant<uint64_t, std::string_view, std::monostate>;
using Value = std::variant<std::monostate, uint64_t, std::string, Processes, wire::DescribeStructureRet>;

/// Sets a request's field; the error names a field of another type.
[[nodiscard]] Status set_argument(google::protobuf::Message& message,
                                  const google::protobuf::FieldDescriptor& field, const Argument& argument);

/// A socket that asks and waits, replaced when an answer stays out: a REQ that still waits could never ask
/// again.
class CallSocket {
 public:
  /// What a wait does when the connection is lost: goes on (the server may be started anew and take what
  /// still waits here), or ends at once with Errc::Unavailable, as no answer can come.
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
  /// The partition that answers: each question needs it, and none waits for it any longer once it is gone.
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

class VmiClient {
 public:
  /// Connects app `app` to the VMI partition that serves in `directory`.
  [[nodiscard]] static Result<VmiClient> connect(zmq::context_t& context, const std::string& directory,
                                                 const std::string& app);

  /// Runs one call with its arguments in the order of the call table; missing ones at the end are left out.
  /// The error names call, arguments and reason. A short read is an error.
  [[nodiscard]] Result<Value> invoke(const protocol::Call& call, std::span<const Argument> arguments);
  /// The same, told apart: what the partition answered, a value or why the call failed there, and (the outer
  /// error) why there is no answer.
  [[nodiscard]] Result<Result<Value>> ask(const protocol::Call& call, std::span<const Argument> arguments);

  /// Sends a message and returns its answer, whatever it says.
  [[nodiscard]] Result<wire::VmiMessage> exchange(const wire::VmiMessage& request,
                                                  std::string_view call = "a batch");

  // The calls of C++ apps; addresses and pids typed.
  /// Fills `out` without an allocation; a short read is an error.
  [[nodiscard]] Status read(guest::Gva from, guest::Pid pid, std::span<std::byte> out);
  [[nodiscard]] Status read(guest::Gpa from, std::span<std::byte> out);
  [[nodiscard]] Result<uint64_t> read_64_va(guest::Gva address, guest::Pid pid);
  [[nodiscard]] Result<std::string> read_va(guest::Gva address, guest::Pid pid, uint32_t count);
  [[nodiscard]] Result<guest::Gva> lookup_symbol(std::string_view name);
  [[nodiscard]] Result<Processes> process_list();

  [[nodiscard]] CallSocket& calls() { return calls_; }
  /// Where events of this app arrive.
  [[nodiscard]] zmq::socket_t& events() { return events_; }
  /// What happens to the connection of events, for a PresenceWatch.
  [[nodiscard]] zmq::socket_t take_monitor() { return std::move(monitor_); }

 private:
  VmiClient(CallSocket calls, MonitoredSocket events, zmq::socket_t monitor)
      : calls_(std::move(calls)), monitor_(std::move(monitor)), events_(std::move(events)) {}

  [[nodiscard]] Status read_bytes(const protocol::Call& call, std::span<const Argument> arguments,
                                  std::span<const std::byte> request, std::span<std::byte> out);

  CallSocket calls_;
  zmq::socket_t monitor_;  // of events_, which it must outlive
  MonitoredSocket events_;
  zmq::message_t reply_;  // of reads: its memory is used again
};

}  // namespace furnace::app
