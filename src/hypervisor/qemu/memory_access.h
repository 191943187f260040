// What an access to watched memory was. The stub reports which watchpoint was hit, after the instruction ran;
// where exactly, how wide, and what was written is found from the instruction and from what was there before.
#pragma once

#include <array>
#include <map>
#include <optional>

#include "guest/address_space.h"
#include "hypervisor/events.h"
#include "hypervisor/instruction.h"
#include "hypervisor/vcpu_memory.h"

namespace furnace::hypervisor {

/// Watched memory in pieces of 8 bytes, with their last known content.
class WatchedBytes {
 public:
  static constexpr uint64_t kSlot = 8;

  explicit WatchedBytes(guest::GuestMemory& memory) : memory_(memory) {}

  /// `table` maps it; processes have different memory at one address.
  void add(guest::PageTable table, uint64_t slot);
  void remove(uint64_t slot);
  void clear() { known_.clear(); }

  struct Access {
    uint64_t address = 0;
    uint64_t bytes = kSlot;
    bool read = false, wrote = false;
    std::optional<uint64_t> old_value, new_value;  ///< of a write of up to 8 bytes
  };
  /// The access that hit the watchpoint at `slot` of `length` bytes; `read` and `wrote` say what kinds it
  /// may have been. The vCPU is after the instruction, with these registers.
  [[nodiscard]] Access identify(const Registers& registers, uint64_t slot, uint64_t length, bool may_read,
                                bool may_write);

  /// Learns what there is now, as far as it is watched through this table.
  void refresh(guest::PageTable table, uint64_t address, uint64_t bytes);

 private:
  [[nodiscard]] std::optional<MemoryOperand> operand_that_hit(const Registers& registers, uint64_t slot,
                                                              uint64_t length, bool writes) const;
  [[nodiscard]] std::optional<uint64_t> known(guest::PageTable table, uint64_t address, uint64_t bytes) const;
  [[nodiscard]] std::optional<uint64_t> current(const Registers& registers, uint64_t address,
                                                uint64_t bytes) const;

  VcpuMemory memory_;
  Disassembler disassembler_;
  /// A slot of one address space; all have the kernel's.
  struct Place {
    uint64_t slot, root;
    auto operator<=>(const Place&) const = default;
  };
  [[nodiscard]] static Place place(guest::PageTable table, uint64_t slot);
  std::map<Place, std::optional<std::array<std::byte, kSlot>>> known_;
};

}  // namespace furnace::hypervisor
