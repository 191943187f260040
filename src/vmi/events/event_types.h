// The kinds of events an app can register, and what each is made of.
#pragma once

#include <cstdint>
#include <optional>

#include "guest/linux/trace.h"
#include "hypervisor/events.h"
#include "vmi.pb.h"

namespace furnace::vmi {

struct EventType {
  wire::EventType number;
  hypervisor::EventKind kind;         ///< what a driver may see by itself
  std::optional<guest::Trace> trace;  ///< what is watched in the kernel otherwise, if anything can be
};

/// nullptr: there is no such type.
[[nodiscard]] const EventType* find_event_type(uint64_t number);

/// What an app asks for.
struct EventRequest {
  const EventType* type = nullptr;
  guest::Gva address;                   ///< F_INT, F_EPT
  std::optional<guest::Gpa> physical;   ///< F_EPT: given instead of `address`
  uint64_t length = 0;                  ///< F_EPT
  uint8_t access = 0;                   ///< F_EPT, bits of hypervisor::Access
  guest::Pid pid = guest::Pid::Kernel;  ///< only of this process; Kernel: of any
  std::optional<uint32_t> uid;          ///< only of processes of this real user
  std::optional<uint32_t> number;       ///< F_SYSCALL: only this system call
  bool returns = false;                 ///< F_SYSCALL: also when it returns
  bool sync = false;
  std::optional<guest::PageTable> table = {};  ///< F_EPT: maps the memory
  bool notices = false;                        ///< tell the app when the event ends by itself
  bool gathers = false;                        ///< the app takes many events in one message
  bool from_start_syscall = false;

  /// Whether reads or writes are watched, by interrupting what makes them.
  [[nodiscard]] bool watches_data() const {
    return (access & (hypervisor::kAccessRead | hypervisor::kAccessWrite)) != 0;
  }
};

}  // namespace furnace::vmi
