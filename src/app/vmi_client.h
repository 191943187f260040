// The tenant's end of the VMI socket: one call, or a prepared message of many, and its answer.
#pragma once

#include <span>
#include <string>
#include <zmq.hpp>

#include "app/arguments.h"
#include "app/call_socket.h"
#include "base/result.h"
#include "guest/address.h"
#include "protocol/framing.h"
#include "vmi.pb.h"

namespace furnace::app {

class VmiClient {
 public:
  /// Connects app `app` to the VMI partition that serves in `directory`.
  [[nodiscard]] static Result<VmiClient> connect(zmq::context_t& context, const std::string& directory,
                                                 const std::string& app);

  /// Runs one call with its arguments in the order of the call table; missing ones at the end are left out.
  /// The error names call, arguments and reason. A short read is an error.
  [[nodiscard]] Result<Value> invoke(const protocol::Call& call, std::span<const Argument> arguments);
  /// The same in two parts: what the partition answered, a value or why the call failed there, and (the outer
  /// error) why there is no answer.
  [[nodiscard]] Result<Result<Value>> ask(const protocol::Call& call, std::span<const Argument> arguments);

  /// Sends a message and returns its answer, whatever it says.
  [[nodiscard]] Result<wire::VmiMessage> exchange(const wire::VmiMessage& request,
                                                  std::string_view call = "a batch");

  /// Fills `out` without an allocation; a short read is an error.
  [[nodiscard]] Status read(guest::Gva from, guest::Pid pid, std::span<std::byte> out);
  [[nodiscard]] Status read(guest::Gpa from, std::span<std::byte> out);
  [[nodiscard]] Result<uint64_t> read_64_va(guest::Gva address, guest::Pid pid);
  [[nodiscard]] Result<guest::Gva> lookup_symbol(std::string_view name);
  [[nodiscard]] Result<Processes> process_list();

  [[nodiscard]] CallSocket& call_socket() { return calls_; }
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
