// RAM in a vector, from address 0 on.
#pragma once

#include <vector>

#include "guest/memory.h"

namespace furnace::hypervisor {

class SimulatedMemory : public guest::GuestMemory {
 public:
  explicit SimulatedMemory(size_t bytes);
  using GuestMemory::read;
  [[nodiscard]] size_t read(guest::Gpa from, std::span<std::byte> out) const override;
  [[nodiscard]] size_t write(guest::Gpa to, std::span<const std::byte> data) override;
  [[nodiscard]] const std::vector<guest::GpaRange>& ranges() const override { return ranges_; }

  template <typename T>
  void put(guest::Gpa to, const T& value) {
    (void)write(to, std::as_bytes(std::span(&value, 1)));
  }

 private:
  std::vector<std::byte> bytes_;
  std::vector<guest::GpaRange> ranges_;
};

}  // namespace furnace::hypervisor
