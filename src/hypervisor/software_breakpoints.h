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

  /// Checks whether INT3 is still in place, of many breakpoints some with each call. Writes it again where
  /// the guest has the same code; where it has other code, INT3 could hit the middle of an instruction, so
  /// the breakpoint is lost, which is logged once. Returns whether all was in place.
  [[nodiscard]] bool check_in_place();

 private:
  /// What the guest has at a breakpoint: enough to recognize its code.
  struct Code {
    std::array<std::byte, 8> bytes{};
    size_t size = 0;
    bool operator==(const Code&) const = default;
  };
  struct Breakpoint {
    Code original;
    std::set<uint64_t> watches;
    bool is_lifted = false, is_lost = false;
  };
  [[nodiscard]] Code code_at(guest::Gpa at) const;
  [[nodiscard]] bool check(guest::Gpa at, Breakpoint& breakpoint);

  guest::GuestMemory& memory_;
  CoveredBytes& covered_;
  Note note_;
  std::map<uint64_t, Breakpoint> breakpoints_;  // by physical address
  uint64_t next_check_ = 0;                     // physical address
};

/// What runs in place of INT3 where all vCPUs must meet it meanwhile: the hypervisor emulates the code, or
/// the vCPU resumes after it, because it has no effect.
struct InPlaceOfInt3 {
  std::optional<uint64_t> next;
  std::array<std::byte, 16> code{};
};
[[nodiscard]] InPlaceOfInt3 in_place_of_int3(guest::GuestMemory& memory, const Registers& registers);

}  // namespace furnace::hypervisor
