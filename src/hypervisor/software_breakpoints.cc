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
  if (const auto known = breakpoints_.find(at.value); known != breakpoints_.end()) {
    known->second.watches.insert(watch);
    return {};
  }
  if (breakpoints_.size() >= kMaxBreakpoints)
    return fail(Errc::Busy, "{} breakpoints are in use: that is the limit", breakpoints_.size());
  const auto original = memory_.read<std::byte>(at);
  if (!original) return fail(Errc::Unmapped, "physical address {:#x} is not in memory", at.value);
  FURNACE_CHECK(note_(at, *original));
  if (memory_.write(at, std::span(&kInt3, 1)) != 1) {
    (void)note_(at, std::nullopt);
    return fail(Errc::Failed, "physical address {:#x} can't be written", at.value);
  }
  covered_.set(at, *original);
  breakpoints_.emplace(at.value, Breakpoint{*original, {watch}});
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
  found->second.lifted = true;
  covered_.set(at, std::nullopt);
  // What the guest has written there since stays.
  if (memory_.read<std::byte>(at) == kInt3) (void)memory_.write(at, std::span(&found->second.original, 1));
}

void SoftwareBreakpoints::put_back(guest::Gpa at) {
  const auto found = breakpoints_.find(at.value);
  if (found == breakpoints_.end()) return;
  found->second.lifted = false;
  // The guest may have other code there now.
  if (memory_.read<std::byte>(at) != found->second.original) return;
  (void)memory_.write(at, std::span(&kInt3, 1));
  covered_.set(at, found->second.original);
}

bool SoftwareBreakpoints::check_in_place(const MaySet& may_set) {
  constexpr int most = 256;
  bool in_place = true;
  auto each = breakpoints_.lower_bound(next_check_);
  for (int i = 0; i < most && each != breakpoints_.end(); ++i, ++each)
    in_place = check(guest::Gpa{each->first}, each->second, may_set) && in_place;
  next_check_ = each == breakpoints_.end() ? 0 : each->first;
  return in_place;
}

bool SoftwareBreakpoints::check(guest::Gpa at, Breakpoint& breakpoint, const MaySet& may_set) {
  if (breakpoint.lifted || breakpoint.lost) return true;
  covered_.set(at, std::nullopt);
  const auto found = memory_.read<std::byte>(at);
  if (found == kInt3) {
    covered_.set(at, breakpoint.original);
    return true;
  }
  Status again = found ? may_set(*breakpoint.watches.begin(), at, *found == breakpoint.original)
                       : Status(fail(Errc::Unmapped, "there is no memory any more"));
  if (again && *found != breakpoint.original) again = note_(at, *found);
  if (again && memory_.write(at, std::span(&kInt3, 1)) == 1) {
    breakpoint.original = *found;
    covered_.set(at, *found);
    return false;
  }
  breakpoint.lost = true;
  log::warning("the breakpoint at physical address {:#x} is lost: {}", at.value,
               again ? "it can't be written" : again.error().message());
  return false;
}

Status may_set_again(const guest::GuestMemory& memory, const Result<guest::PageTable>& table,
                     guest::Gva address, guest::Gpa at, bool is_same) {
  if (!table) return tl::unexpected<Error>(table.error());
  const auto found = guest::walk(memory, *table, address);
  if (!found || found->gpa.value != at.value)
    return fail(Errc::Unmapped, "virtual address {:#x} is elsewhere now", address.value);
  constexpr uint64_t kernel_half = 1ULL << 63;
  if (!is_same && (address.value & kernel_half) == 0)
    return fail(Errc::Unmapped, "the process has other code at {:#x} now", address.value);
  return {};
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
