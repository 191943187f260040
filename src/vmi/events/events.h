// Registered events: who asked for what, and their delivery (wire.md section 1, EVENT_REGISTER;
// tenant-api.md).
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "hypervisor/events.h"
#include "vmi/events/event_outbox.h"
#include "vmi/events/event_reader.h"
#include "vmi/events/shared_watches.h"
#include "vmi/events/trace_ids.h"
#include "vmi/machine.h"
#include "vmi/pauses.h"
#include "vmi/session.h"

namespace furnace::vmi {

inline constexpr size_t kMaxEvents = 200;  ///< registered by one app

class Events {
 public:
  Events(Machine& machine, Pauses& pauses)
      : machine_(machine), pauses_(pauses), watches_(machine), reader_(machine) {}
  void set_send(EventOutbox::Send send) { outbox_.set_send(std::move(send)); }
  /// Whether what the kernel does is seen by watched writes or by breakpoints; otherwise the driver chooses.
  void set_watched_writes(std::optional<bool> choice) { watches_.set_watched_writes(choice); }

  /// Registers an event of an app; returns its identifier. The error says what this driver can't watch.
  /// `process` is the one that the request names, nullptr if it names none; `all` are those of the guest, if
  /// the request watches data.
  [[nodiscard]] Result<uint64_t> add(Session& owner, const EventRequest& request,
                                     const guest::Process* process, std::span<const guest::Process> all);
  /// Fails for an identifier that is none of this app's.
  [[nodiscard]] Status remove(Session& owner, uint64_t identifier);
  [[nodiscard]] size_t count(const Session& owner) const;
  /// Removes all events of an app that has disconnected.
  void forget(Session& owner);

  /// The event that START_SYSCALL made for an app, at most one.
  [[nodiscard]] std::optional<uint64_t> syscall_tracing(const Session& owner) const;

  /// Whether `dispatch` has something to do without a descriptor being ready.
  [[nodiscard]] bool pending() const;
  /// Delivers what the driver saw.
  void dispatch();

  /// The guest was reset: events at addresses end, the others are watched for again once there is a kernel.
  void guest_was_reset();

  /// When `do_what_is_due` wants to be called: a SYNC event's time is over, events were gathered for long
  /// enough, or a kernel is looked for again.
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> next_deadline() const;
  void do_what_is_due();

 private:
  struct Registration {
    Session* owner;
    EventRequest request;
    uint64_t process_start = 0;  ///< of `request.pid`: another process with that number is not meant
    bool suspended = false;      ///< until there is a kernel
    bool ended = false;          ///< by a reset
  };
  [[nodiscard]] Status check(Registration& registration, const guest::Process* process,
                             std::span<const guest::Process> all) const;
  [[nodiscard]] Status check_place(const EventRequest& request, const guest::LinuxGuest& guest,
                                   const guest::AddressSpace& space,
                                   std::span<const guest::Process> all) const;
  [[nodiscard]] bool anyone_wants(const SharedWatches::SharedWatch& watch,
                                  const hypervisor::GuestEvent& event) const;
  [[nodiscard]] static bool concerns(const Registration& registration, const Occurrence& occurrence);
  void dispatch(const hypervisor::GuestEvent& event);
  void deliver(uint64_t identifier, Registration& registration, const Occurrence& occurrence);
  void tell_of_loss(Session& owner);
  void resume_suspended();
  void check_in_place();

  Machine& machine_;
  Pauses& pauses_;
  SharedWatches watches_;
  EventReader reader_;
  EventOutbox outbox_;
  TraceIds trace_;
  std::map<uint64_t, Registration> registrations_;
  std::optional<std::chrono::steady_clock::time_point> next_try_;  ///< to watch for suspended events
  /// When to look whether all that is watched is still in place; while something is watched.
  std::optional<std::chrono::steady_clock::time_point> next_look_;
  uint64_t next_identifier_ = 1;
};

}  // namespace furnace::vmi
