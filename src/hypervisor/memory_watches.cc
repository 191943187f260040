#include "hypervisor/memory_watches.h"

#include <algorithm>
#include <array>

#include "base/log.h"

namespace furnace::hypervisor {
namespace {

using guest::Gpa;
using guest::Gva;
using guest::kPageSize;

constexpr size_t kLongestInstruction = 15;
constexpr uint64_t kWidest = 8;  // bytes of a value that is reported

}  // namespace

Status MemoryWatches::refuse_execution(const Watch& watch) {
  if ((watch.access & kAccessExecute) == 0) return {};
  return fail(Errc::Unavailable,
              "execution of a range needs a CPU that single-steps, and altp2m where there are several vCPUs: "
              "watch single instructions");
}

Status MemoryWatches::forbid_union(uint64_t frame) const {
  uint8_t access = 0;
  const auto [first, last] = parts_.equal_range(frame);
  for (auto part = first; part != last; ++part) access |= part->second.access;
  return forbid_(frame, access);
}

Status MemoryWatches::add(uint64_t number, const Watch& watch, guest::PageTable table) {
  if (auto checked = check_length(watch); !checked) return checked;
  std::vector<Part> parts;
  for (uint64_t done = 0; done < watch.length;) {
    const Gva at{watch.address.value + done};
    const auto found = guest::walk(memory_, table, at);
    if (!found) return fail(Errc::Unmapped, "{}", guest::explain(found.error()));
    const uint64_t length = std::min(watch.length - done, kPageSize - at.value % kPageSize);
    parts.push_back({number, at, found->gpa, length, watch.access});
    done += length;
  }
  for (const Part& part : parts) {
    const uint64_t frame = part.gpa.value / kPageSize;
    parts_.emplace(frame, part);
    if (auto forbidden = forbid_union(frame); !forbidden) {
      remove(number);
      return forbidden;
    }
  }
  return {};
}

void MemoryWatches::remove(uint64_t number) {
  for (auto each = parts_.begin(); each != parts_.end();) {
    const uint64_t frame = each->first;
    if (each->second.watch != number) {
      ++each;
      continue;
    }
    each = parts_.erase(each);
    if (auto allowed = forbid_union(frame); !allowed) log::warning("{}", allowed.error().message());
  }
}

std::vector<GuestEvent> MemoryWatches::execution(uint32_t vcpu, const Registers& registers,
                                                 const Fault& fault) const {
  std::vector<GuestEvent> events;
  if ((fault.access & kAccessExecute) == 0) return events;
  const auto [first, last] = parts_.equal_range(fault.gpa.value / kPageSize);
  for (auto each = first; each != last; ++each) {
    const Part& part = each->second;
    if ((part.access & kAccessExecute) == 0 || fault.gpa.value < part.gpa.value ||
        fault.gpa.value - part.gpa.value >= part.length)
      continue;
    events.push_back({.watch = part.watch,
                      .vcpu = vcpu,
                      .registers = registers,
                      .address = Gva{part.gva.value + (fault.gpa.value - part.gpa.value)},
                      .access = kAccessExecute,
                      .old_value = {},
                      .new_value = {}});
  }
  return events;
}

std::vector<MemoryWatches::Piece> MemoryWatches::pieces_of(const MemoryOperand& operand,
                                                           guest::PageTable table) const {
  std::vector<Piece> pieces;
  const auto access =
      static_cast<uint8_t>(kAccessRead * unsigned{operand.reads} + kAccessWrite * unsigned{operand.writes});
  for (uint64_t done = 0; done < operand.bytes;) {
    const Gva at{operand.address + done};
    const uint64_t length = std::min(operand.bytes - done, kPageSize - at.value % kPageSize);
    if (const auto found = guest::walk(memory_, table, at)) pieces.push_back({found->gpa, length, access});
    done += length;
  }
  return pieces;
}

std::optional<uint64_t> MemoryWatches::value(Gpa at, uint64_t bytes) const {
  uint64_t number = 0;
  if (bytes > kWidest) return std::nullopt;
  const auto out = std::as_writable_bytes(std::span(&number, 1)).first(bytes);
  if (memory_.read(at, out) != bytes) return std::nullopt;
  return number;
}

void MemoryWatches::match(const Piece& piece, uint32_t vcpu, std::vector<ComingAccess>& found) const {
  const auto [first, last] = parts_.equal_range(piece.gpa.value / kPageSize);
  for (auto each = first; each != last; ++each) {
    const Part& part = each->second;
    const auto access = static_cast<uint8_t>(piece.access & part.access);
    if (access == 0 || piece.gpa.value >= part.gpa.value + part.length ||
        piece.gpa.value + piece.bytes <= part.gpa.value)
      continue;
    ComingAccess coming{{}, piece.gpa, piece.bytes};
    coming.event.watch = part.watch;
    coming.event.vcpu = vcpu;
    // It may begin before what is watched.
    coming.event.address = Gva{part.gva.value + (piece.gpa.value - part.gpa.value)};
    coming.event.access = access;
    if ((access & kAccessWrite) != 0) coming.event.old_value = value(piece.gpa, piece.bytes);
    found.push_back(std::move(coming));
  }
}

ComingAccesses MemoryWatches::coming(uint32_t vcpu, const Registers& registers,
                                     const std::optional<Fault>& fault) const {
  ComingAccesses coming;
  auto& found = coming.all;
  if (parts_.empty()) return coming;
  const uint64_t rip = registers.rip();
  std::array<std::byte, kLongestInstruction> code{};
  const size_t size = seen_by_vcpu_.read(registers, rip, code);
  const auto instruction = disassembler_.decode(std::span(code).first(size), rip, registers, false);
  if (instruction) {
    if (!instruction->goes_elsewhere && !instruction->repeats) coming.next = rip + instruction->length;
    for (const MemoryOperand& operand : instruction->memory)
      for (const Piece& piece : pieces_of(operand, seen_by_vcpu_.table_of(registers)))
        match(piece, vcpu, found);
  }
  constexpr uint8_t data = kAccessRead | kAccessWrite;
  if (found.empty() && fault && !fault->in_page_walk)
    match({fault->gpa, 1, static_cast<uint8_t>(fault->access & data)}, vcpu, found);
  return coming;
}

std::vector<GuestEvent> MemoryWatches::finished(ComingAccesses accesses, const Registers& registers) const {
  std::vector<GuestEvent> events;
  if (accesses.next && registers.rip() != accesses.next) return events;
  for (ComingAccess& access : accesses.all) {
    access.event.registers = registers;
    if (access.event.old_value) access.event.new_value = value(access.gpa, access.bytes);
    events.push_back(std::move(access.event));
  }
  return events;
}

}  // namespace furnace::hypervisor
