#include "hypervisor/software_breakpoints.h"

#include <array>

#include "base/log.h"
#include "hypervisor/vcpu_memory.h"

namespace furnace::hypervisor {
namespace {

constexpr std::byte kInt3{0xcc};
constexpr size_t kMaxBreakpoints = 4096;

}  // namespace

Status SoftwareBreakpoints::set(uint64_t watch, guest::Gpa at) {
  const auto known = breakpoints_.find(at.value);
  if (known != breakpoints_.end() && !known->second.is_lost) {
    known->second.watches.insert(watch);
    return {};
  }
  if (breakpoints_.size() >= kMaxBreakpoints)
    return fail(Errc::Busy, "{} breakpoints are in use: that is the limit", breakpoints_.size());
  const Code original = code_at(at);
  if (original.size == 0) return fail(Errc::Unmapped, "physical address {:#x} is not in memory", at.value);
  FURNACE_CHECK(note_(at, original.bytes.front()));
  if (memory_.write(at, std::span(&kInt3, 1)) != 1) {
    (void)note_(at, std::nullopt);
    return fail(Errc::Failed, "physical address {:#x} can't be written", at.value);
  }
  covered_.set(at, original.bytes.front());
  Breakpoint& breakpoint = breakpoints_[at.value];  // the watches of one that was lost have it again
  breakpoint.original = original;
  breakpoint.is_lost = false;
  breakpoint.watches.insert(watch);
  return {};
}

Status SoftwareBreakpoints::remove(uint64_t watch, guest::Gpa at) {
  const auto found = breakpoints_.find(at.value);
  if (found == breakpoints_.end()) return {};
  found->second.watches.erase(watch);
  if (!found->second.watches.empty()) return {};
  lift(at);
  breakpoints_.erase(found);
  return note_(at, std::nullopt);
}

const std::set<uint64_t>* SoftwareBreakpoints::find(guest::Gpa at) const {
  const auto found = breakpoints_.find(at.value);
  return found == breakpoints_.end() ? nullptr : &found->second.watches;
}

void SoftwareBreakpoints::lift(guest::Gpa at) {
  const auto found = breakpoints_.find(at.value);
  if (found == breakpoints_.end()) return;
  found->second.is_lifted = true;
  covered_.set(at, std::nullopt);
  // What the guest has written there since stays.
  if (memory_.read<std::byte>(at) == kInt3)
    (void)memory_.write(at, std::span(found->second.original.bytes).first(1));
}

void SoftwareBreakpoints::put_back(guest::Gpa at) {
  const auto found = breakpoints_.find(at.value);
  if (found == breakpoints_.end()) return;
  found->second.is_lifted = false;
  // The guest may have other code there now.
  const std::byte original = found->second.original.bytes.front();
  if (memory_.read<std::byte>(at) != original) return;
  (void)memory_.write(at, std::span(&kInt3, 1));
  covered_.set(at, original);
}

SoftwareBreakpoints::Code SoftwareBreakpoints::code_at(guest::Gpa at) const {
  Code code;
  const uint64_t in_page = guest::kPageSize - at.value % guest::kPageSize;  // the next page may be another's
  code.size = memory_.read(at, std::span(code.bytes).first(std::min<uint64_t>(in_page, code.bytes.size())));
  return code;
}

bool SoftwareBreakpoints::check_in_place() {
  constexpr int most = 256;
  bool in_place = true;
  auto each = breakpoints_.lower_bound(next_check_);
  for (int i = 0; i < most && each != breakpoints_.end(); ++i, ++each)
    in_place = check(guest::Gpa{each->first}, each->second) && in_place;
  next_check_ = each == breakpoints_.end() ? 0 : each->first;
  return in_place;
}

bool SoftwareBreakpoints::check(guest::Gpa at, Breakpoint& breakpoint) {
  if (breakpoint.is_lifted || breakpoint.is_lost) return true;
  covered_.set(at, std::nullopt);
  const Code found = code_at(at);
  const bool in_place = found.size != 0 && found.bytes.front() == kInt3;
  if (in_place || (found == breakpoint.original && memory_.write(at, std::span(&kInt3, 1)) == 1)) {
    covered_.set(at, breakpoint.original.bytes.front());
    return in_place;
  }
  breakpoint.is_lost = true;
  log::warning("the breakpoint at physical address {:#x} is lost: {}", at.value,
               found.size == 0                ? "there is no memory any more"
               : found == breakpoint.original ? "the memory can't be written"
                                              : "the guest has other code there now");
  return false;
}

InPlaceOfInt3 in_place_of_int3(guest::GuestMemory& memory, const Registers& registers) {
  InPlaceOfInt3 found;
  const uint64_t rip = registers.rip();
  const size_t size = VcpuMemory(memory).read(registers, rip, found.code);
  const auto instruction = Disassembler().decode(std::span(found.code).first(size), rip, registers, false);
  if (instruction && instruction->no_effect) found.next = rip + instruction->length;
  return found;
}

}  // namespace furnace::hypervisor
