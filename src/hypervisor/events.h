// Events of a guest, as a driver offers them: what to watch for, and what was seen.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "guest/address.h"
#include "hypervisor/registers.h"

namespace furnace::hypervisor {

enum class EventKind : uint8_t { Cr3Write, Breakpoint, MemoryAccess, Syscall };

/// Bits of an access to memory.
enum Access : uint8_t { kAccessRead = 1, kAccessWrite = 2, kAccessExecute = 4 };

struct Watch {
  EventKind kind = EventKind::Cr3Write;
  guest::Gva address;   ///< Breakpoint, MemoryAccess
  uint64_t length = 0;  ///< MemoryAccess, bytes
  uint8_t access = 0;   ///< MemoryAccess, bits of Access
};

/// The vCPU stands where it happened until `proceed`.
struct GuestEvent {
  uint64_t watch = 0;  ///< what `EventSource::watch` returned
  uint32_t vcpu = 0;
  Registers registers;
  // MemoryAccess:
  guest::Gva address;
  uint8_t access = 0;
  std::optional<uint64_t> old_value, new_value;  ///< of a write of up to 8 bytes
};

class EventSource {
 public:
  virtual ~EventSource() = default;

  /// Starts watching; the number tells its events from others'. The error says what the driver can't watch.
  [[nodiscard]] virtual Result<uint64_t> watch(const Watch& watch) = 0;
  [[nodiscard]] virtual Status unwatch(uint64_t watch) = 0;

  /// The events that happened since, in order of each vCPU, without blocking. `proceed` follows, also on
  /// none.
  [[nodiscard]] virtual std::vector<GuestEvent> take() = 0;
  /// The events taken are dealt with: their vCPUs run on, unless the guest is paused.
  virtual void proceed() = 0;
};

}  // namespace furnace::hypervisor
