// Events of a guest, as a driver offers them: what to watch for, and what was seen.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "guest/paging.h"
#include "hypervisor/registers.h"

namespace furnace::hypervisor {

enum class EventKind : uint8_t {
  Cr3Write,
  Breakpoint,
  MemoryAccess,
  // What an operating system does; few drivers know of it.
  Syscall,
  SyscallReturn,
  ProcessCreated,
  ProcessExecuted,
  ProcessExited,
  CredentialsChanged,
  ModuleLoaded,
  /// The guest asks for attention by a call of the hypervisor.
  GuestRequest,
};

/// Bits of an access to memory.
enum Access : uint8_t { kAccessRead = 1, kAccessWrite = 2, kAccessExecute = 4 };

struct Watch {
  EventKind kind = EventKind::Cr3Write;
  guest::Gva address;   ///< Breakpoint, MemoryAccess
  uint64_t length = 0;  ///< MemoryAccess, bytes
  uint8_t access = 0;   ///< MemoryAccess, bits of Access
  /// MemoryAccess: the page tables through which the memory is seen; a vCPU's own where it is left out.
  std::optional<guest::PageTable> table = {};
  /// MemoryAccess only by known instructions: where the vCPU is after each. Accesses by others are not
  /// reported, and nothing is looked up about those that are.
  std::vector<guest::Gva> after = {};
};

/// Refuses memory of more bytes than can be watched at once.
[[nodiscard]] inline Status check_length(const Watch& watch) {
  constexpr uint64_t most = 1 << 20;
  if (watch.length <= most) return {};
  return fail(Errc::Invalid, "{} bytes: at most {} can be watched at once", watch.length, most);
}

/// What a driver knows of an event of the operating system.
struct KernelEvent {
  guest::Gva subject;  ///< the task created, the module loaded
  std::string text;    ///< path of the program, name of the module
  int32_t exit_status = 0;
  uint32_t old_uid = 0, new_uid = 0;
  uint64_t number = 0;  ///< of the system call that returns
  int64_t return_value = 0;
};

/// The vCPU is paused where it happened until `proceed`.
struct GuestEvent {
  uint64_t watch = 0;  ///< what `EventSource::watch` returned
  uint32_t vcpu = 0;
  Registers registers;
  // MemoryAccess:
  guest::Gva address;
  uint8_t access = 0;
  std::optional<uint64_t> old_value, new_value;  ///< of a write of up to 8 bytes
  std::optional<KernelEvent> kernel = {};
};

/// An event of `kind` where a vCPU is paused. MemoryAccess: it is about to execute the instruction there.
[[nodiscard]] inline GuestEvent event_here(uint64_t watch, EventKind kind, uint32_t vcpu,
                                           const Registers& registers) {
  GuestEvent event;
  event.watch = watch;
  event.vcpu = vcpu;
  event.registers = registers;
  if (kind == EventKind::MemoryAccess) {
    event.address = guest::Gva{registers.rip()};
    event.access = kAccessExecute;
  }
  return event;
}

class EventSource {
 public:
  virtual ~EventSource() = default;

  /// Whether `watch` takes this kind; kinds of which the driver knows nothing are made of others by the
  /// caller.
  [[nodiscard]] virtual bool offers(EventKind kind) const = 0;
  /// Whether a watched write costs less than a breakpoint, and there are enough for one on each vCPU.
  [[nodiscard]] virtual bool prefers_watched_writes() const { return false; }

  /// Starts watching; the number marks its events. The error says what the driver can't watch.
  [[nodiscard]] virtual Result<uint64_t> watch(const Watch& watch) = 0;
  [[nodiscard]] virtual Status unwatch(uint64_t watch) = 0;

  /// Checks whether what `watch` has put into the guest is still in place, of many places some with each
  /// call, and watches again where it is not. Returns whether all was in place; if not, events were missed.
  [[nodiscard]] virtual bool check_in_place() { return true; }

  /// Ends all watches: the guest was reset, and what they were about no longer exists.
  virtual void forget() = 0;

  /// Whether `take` has something to give without a descriptor being ready.
  [[nodiscard]] virtual bool pending() const { return false; }
  /// The events that happened since, in order of each vCPU, without blocking. `proceed` follows, also on
  /// none.
  [[nodiscard]] virtual std::vector<GuestEvent> take() = 0;
  /// The events taken are dealt with: their vCPUs run on, unless the guest is paused.
  virtual void proceed() = 0;
};

}  // namespace furnace::hypervisor
