// Registered events: who asked for what, and their delivery (wire.md section 1, EVENT_REGISTER;
// tenant-api.md).
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "hypervisor/events.h"
#include "vmi.pb.h"
#include "vmi/machine.h"
#include "vmi/session.h"

namespace furnace::vmi {

inline constexpr size_t kMaxEvents = 200;  ///< registered by one app

struct EventRequest {
  hypervisor::Watch watch;
  guest::Pid pid =
      guest::Pid::Kernel;  ///< of Breakpoint and MemoryAccess: in this process alone; Kernel: in any
  bool sync = false;
};

class Events {
 public:
  /// Sends an event to the socket with this identity; false: its queue is full, or it is gone.
  using Send = std::function<bool(const std::string& identity, const wire::VmiMessage&)>;

  Events(Machine& machine, PauseCount& pauses) : machine_(machine), pauses_(pauses) {}
  void set_send(Send send) { send_ = std::move(send); }
  /// How long a SYNC event may keep the guest standing; zero: for ever.
  void set_watchdog(std::chrono::milliseconds time) { watchdog_ = time; }

  /// Registers an event of an app; returns its identifier. The error says what this driver can't watch.
  [[nodiscard]] Result<uint64_t> add(Session& owner, const EventRequest& request);
  /// Fails for an identifier that is none of this app's.
  [[nodiscard]] Status remove(Session& owner, uint64_t identifier);
  [[nodiscard]] size_t count(const Session& owner) const;
  /// Removes all events of an app that is gone.
  void forget(Session& owner);

  /// The app's system-call tracing, at most one.
  [[nodiscard]] std::optional<uint64_t> syscall_event(const Session& owner) const;

  /// Delivers what the driver saw.
  void dispatch();

  /// When the next SYNC event's time is over; and takes the pauses of those back whose time is.
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> next_deadline() const;
  void enforce_deadlines();

 private:
  struct Registration {
    Session* owner;
    EventRequest request;
    uint64_t watch;
  };
  void take_pauses_back(Session& owner);
  void run_on_unless_paused();
  void deliver(uint64_t identifier, Registration& registration, const hypervisor::GuestEvent& event,
               const std::optional<guest::Process>& process);

  Machine& machine_;
  PauseCount& pauses_;
  Send send_;
  std::chrono::milliseconds watchdog_{1000};
  std::map<uint64_t, Registration> registrations_;
  std::set<Session*>
      standing_;  // apps for which the guest stands, whose watchdog runs; also without an event any more
  uint64_t next_identifier_ = 1;
};

}  // namespace furnace::vmi
