// Which accesses of a guest to its memory are reported, and as what.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "hypervisor/events.h"
#include "hypervisor/instruction.h"
#include "hypervisor/vcpu_memory.h"

namespace furnace::hypervisor {

/// An access that will be reported when its instruction has run.
struct ComingAccess {
  GuestEvent event;
  guest::Gpa gpa;
  uint64_t bytes = 0;
};

/// What an instruction will do.
struct ComingAccesses {
  std::vector<ComingAccess> all;
  std::optional<uint64_t> next;  ///< the instruction after it, unless it may jump elsewhere
};

/// An access that the hypervisor has forbidden, as it reports it.
struct Fault {
  guest::Gpa gpa;
  uint8_t access = 0;  ///< bits of hypervisor::Access
  /// The CPU's own access, to a page table: not the instruction's.
  bool in_page_walk = false;
};

/// Watched memory, frame by frame: the hypervisor sees all accesses to a frame, through whatever mapping.
class MemoryWatches {
 public:
  /// Has the hypervisor forbid these accesses (bits of hypervisor::Access) to a frame; 0: none.
  using Forbid = std::function<Status(uint64_t frame, uint8_t access)>;
  /// Where instructions are emulated: kernels' entries have some that no emulator knows.
  [[nodiscard]] static Status refuse_execution(const Watch& watch);
  MemoryWatches(guest::GuestMemory& memory, Forbid forbid)
      : memory_(memory), seen_by_vcpu_(memory), forbid_(std::move(forbid)) {}

  /// Forbids what is watched. Errc::Unmapped: a page of it is not there.
  [[nodiscard]] Status add(uint64_t number, const Watch& watch, guest::PageTable table);
  void remove(uint64_t number);
  [[nodiscard]] bool empty() const { return parts_.empty(); }
  void clear() { parts_.clear(); }

  /// The vCPU is about to run an instruction here: what is reported of that before it runs.
  [[nodiscard]] std::vector<GuestEvent> execution(uint32_t vcpu, const Registers& registers,
                                                  const Fault& fault) const;
  /// What the instruction at which a vCPU is paused will do to watched memory, whether that was a fault yet
  /// or not.
  [[nodiscard]] ComingAccesses coming(uint32_t vcpu, const Registers& registers,
                                      const std::optional<Fault>& fault) const;
  /// The vCPU came further: what the accesses were, with the registers after them. None if an exception came
  /// first: the instruction begins again.
  [[nodiscard]] std::vector<GuestEvent> finished(ComingAccesses accesses, const Registers& registers) const;

 private:
  struct Part {
    uint64_t watch;
    guest::Gva gva;
    guest::Gpa gpa;
    uint64_t length;
    uint8_t access;
  };
  /// An operand, as far as it is in one frame.
  struct Piece {
    guest::Gpa gpa;
    uint64_t bytes;
    uint8_t access;
  };
  [[nodiscard]] Status forbid_union(uint64_t frame) const;
  [[nodiscard]] std::vector<Piece> pieces_of(const MemoryOperand& operand, guest::PageTable table) const;
  void match(const Piece& piece, uint32_t vcpu, std::vector<ComingAccess>& found) const;
  [[nodiscard]] std::optional<uint64_t> value(guest::Gpa at, uint64_t bytes) const;

  guest::GuestMemory& memory_;
  VcpuMemory seen_by_vcpu_;
  Forbid forbid_;
  Disassembler disassembler_;
  std::multimap<uint64_t, Part> parts_;  // by frame
};

}  // namespace furnace::hypervisor
