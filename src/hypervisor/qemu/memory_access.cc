#include "hypervisor/qemu/memory_access.h"

#include <algorithm>
#include <cstring>

namespace furnace::hypervisor {

using guest::Gva;

std::optional<MemoryOperand> WatchedBytes::operand_that_hit(const Registers& registers, uint64_t slot,
                                                            uint64_t length, bool writes) const {
  constexpr uint64_t longest = 15;  // bytes of an x86 instruction
  const uint64_t rip = registers.rip();
  std::array<std::byte, 2 * longest> code{};
  if (rip < longest || memory_.read(registers, rip - longest, code) != code.size()) return std::nullopt;
  const auto hit = [&](const Instruction& instruction) -> std::optional<MemoryOperand> {
    for (const MemoryOperand& operand : instruction.memory)
      if ((writes ? operand.writes : operand.reads) && operand.address < slot + length &&
          operand.address + operand.bytes > slot)
        return operand;
    return std::nullopt;
  };
  // A repeated string instruction stays at itself until it is done.
  if (const auto here = disassembler_.decode(std::span(code).subspan(longest), rip, registers, true);
      here && here->repeats)
    if (auto found = hit(*here)) return found;
  // The longest first: a prefix left out would make a different, valid instruction.
  for (uint64_t size = longest; size > 0; --size) {
    const auto before =
        disassembler_.decode(std::span(code).subspan(longest - size, size), rip - size, registers, true);
    if (!before || before->length != size) continue;
    if (auto found = hit(*before)) return found;
  }
  return std::nullopt;
}

WatchedBytes::Place WatchedBytes::place(guest::PageTable table, uint64_t slot) {
  constexpr uint64_t kernel_half = 1ULL << 63;
  return {slot, slot >= kernel_half ? 0 : table.root.value};
}

void WatchedBytes::add(guest::PageTable table, uint64_t slot) {
  known_.try_emplace(place(table, slot));
}

void WatchedBytes::remove(uint64_t slot) {
  std::erase_if(known_, [&](const auto& each) { return each.first.slot == slot; });
}

std::optional<uint64_t> WatchedBytes::known(guest::PageTable table, uint64_t address, uint64_t bytes) const {
  std::array<std::byte, kSlot> value{};
  for (uint64_t i = 0; i < bytes; ++i) {
    const uint64_t slot = (address + i) / kSlot * kSlot;
    const auto found = known_.find(place(table, slot));
    if (found == known_.end() || !found->second) return std::nullopt;
    value.at(i) = found->second->at(address + i - slot);
  }
  uint64_t number = 0;
  std::memcpy(&number, value.data(), sizeof number);
  return number;
}

std::optional<uint64_t> WatchedBytes::current(const Registers& registers, uint64_t address,
                                              uint64_t bytes) const {
  uint64_t number = 0;
  const auto out = std::as_writable_bytes(std::span(&number, 1)).first(bytes);
  if (memory_.read(registers, address, out) != bytes) return std::nullopt;
  return number;
}

void WatchedBytes::refresh(guest::PageTable table, uint64_t address, uint64_t bytes) {
  for (uint64_t slot = address / kSlot * kSlot; slot < address + bytes; slot += kSlot) {
    const auto found = known_.find(place(table, slot));
    if (found == known_.end()) continue;
    std::array<std::byte, kSlot> content{};
    if (memory_.read(table, slot, content) == kSlot)
      found->second = content;
    else
      found->second.reset();
  }
}

WatchedBytes::Access WatchedBytes::identify(const Registers& registers, uint64_t slot, uint64_t length,
                                            bool may_read, bool may_write) {
  Access access{slot, std::min(length, kSlot), false, false, std::nullopt, std::nullopt};
  std::optional<MemoryOperand> operand;
  if (may_write) operand = operand_that_hit(registers, slot, length, true);
  access.wrote = operand.has_value() || !may_read;
  if (!operand && may_read) {
    operand = operand_that_hit(registers, slot, length, false);
    access.read = true;
  }
  if (operand) {
    access.address = operand->address;
    access.bytes = operand->bytes;
    access.read = access.read || (may_read && operand->reads);
  }
  if (access.wrote && access.bytes <= kSlot) {
    access.old_value = known(memory_.table_of(registers), access.address, access.bytes);
    access.new_value = current(registers, access.address, access.bytes);
  }
  if (access.wrote) refresh(memory_.table_of(registers), access.address, access.bytes);
  return access;
}

}  // namespace furnace::hypervisor
