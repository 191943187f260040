// Software breakpoints: INT3 in the guest's memory, and what was there.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "base/result.h"
#include "guest/memory.h"
#include "hypervisor/covered_bytes.h"
#include "hypervisor/events.h"
#include "hypervisor/instruction.h"

namespace furnace::hypervisor {

/// An instruction that is watched by itself is a breakpoint: other code of its page runs at full speed.
[[nodiscard]] inline bool watches_instruction(const Watch& watch) {
  return watch.kind == EventKind::Breakpoint ||
         (watch.kind == EventKind::MemoryAccess && watch.access == kAccessExecute && watch.length == 1);
}

class SoftwareBreakpoints {
 public:
  /// Called before INT3 is written over a byte, and (nullopt) when it has been removed.
  using Note = std::function<Status(guest::Gpa at, std::optional<std::byte> original)>;
  /// `covered`: what `memory` shows in place of INT3.
  SoftwareBreakpoints(guest::GuestMemory& memory, CoveredBytes& covered, Note note)
      : memory_(memory), covered_(covered), note_(std::move(note)) {}

  /// Errc::Unmapped: there is no memory.
  [[nodiscard]] Status set(uint64_t watch, guest::Gpa at);
  [[nodiscard]] Status remove(uint64_t watch, guest::Gpa at);

  /// The watches of a breakpoint; nullptr: none of ours is there.
  [[nodiscard]] const std::set<uint64_t>* find(guest::Gpa at) const;
  [[nodiscard]] bool empty() const { return breakpoints_.empty(); }

  /// For the time of one instruction.
  void lift(guest::Gpa at);
  void put_back(guest::Gpa at);

  /// Checks whether INT3 is still there, of many breakpoints some with each call, and writes it again where
  /// it is not and `may_set` agrees; otherwise the breakpoint is lost, which is logged once. `may_set` gets
  /// one of the breakpoint's watches and whether the guest has the same byte there as before. Returns whether
  /// all was in place.
  using MaySet = std::function<Status(uint64_t watch, guest::Gpa at, bool is_same)>;
  [[nodiscard]] bool check_in_place(const MaySet& may_set);

 private:
  struct Breakpoint {
    std::byte original;
    std::set<uint64_t> watches;
    bool lifted = false, lost = false;
  };
  [[nodiscard]] bool check(guest::Gpa at, Breakpoint& breakpoint, const MaySet& may_set);

  guest::GuestMemory& memory_;
  CoveredBytes& covered_;
  Note note_;
  std::map<uint64_t, Breakpoint> breakpoints_;  // by physical address
  uint64_t next_check_ = 0;                     // physical address
};

/// Whether a breakpoint may be set again at an address of code: it is mapped where it was, and a process has
/// the same code there. The kernel changes its own code in place, so there it may be another.
[[nodiscard]] Status may_set_again(const guest::GuestMemory& memory, const Result<guest::PageTable>& table,
                                   guest::Gva address, guest::Gpa at, bool is_same);

/// What runs in place of INT3 where all vCPUs must meet it meanwhile: the hypervisor emulates the code, or
/// the vCPU resumes after it, because it has no effect.
struct InPlaceOfInt3 {
  std::optional<uint64_t> next;
  std::array<std::byte, 16> code{};
};
[[nodiscard]] InPlaceOfInt3 in_place_of_int3(guest::GuestMemory& memory, const Registers& registers);

}  // namespace furnace::hypervisor
