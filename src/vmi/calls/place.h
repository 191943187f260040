// Memory as a call addresses it: physical, or through an address space.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "guest/address_space.h"

namespace furnace::vmi {

class Place {
 public:
  Place(guest::GuestMemory& memory, guest::Gpa address) : memory_(&memory), address_(address.value) {}
  Place(const guest::AddressSpace& space, guest::Gva address) : space_(space), address_(address.value) {}

  [[nodiscard]] size_t read(std::span<std::byte> out) const;
  [[nodiscard]] size_t write(std::span<const std::byte> data) const;
  [[nodiscard]] Result<std::string> read_string(size_t limit) const;
  [[nodiscard]] Place after(size_t bytes) const;

  /// What a hypervisor may write and the guest itself could not: pages without write access, or without any.
  [[nodiscard]] std::string note_on_write(size_t size) const;
  /// Why not all of `size` bytes could be read or written.
  [[nodiscard]] Error why_short(size_t size) const;

 private:
  guest::GuestMemory* memory_ = nullptr;
  std::optional<guest::AddressSpace> space_;
  uint64_t address_;
};

}  // namespace furnace::vmi
