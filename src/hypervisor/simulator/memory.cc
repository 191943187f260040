#include "hypervisor/simulator/memory.h"

#include <algorithm>

namespace furnace::hypervisor {

using guest::Gpa;

SimulatedMemory::SimulatedMemory(size_t bytes) : bytes_(bytes), ranges_{{Gpa{0}, Gpa{bytes}}} {}

size_t SimulatedMemory::read(Gpa from, std::span<std::byte> out) const {
  if (from.value >= bytes_.size()) return 0;
  const size_t size = std::min<uint64_t>(out.size(), bytes_.size() - from.value);
  std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(from.value), size, out.begin());
  return size;
}

size_t SimulatedMemory::write(Gpa to, std::span<const std::byte> data) {
  if (to.value >= bytes_.size()) return 0;
  const size_t size = std::min<uint64_t>(data.size(), bytes_.size() - to.value);
  std::copy_n(data.begin(), size, bytes_.begin() + static_cast<ptrdiff_t>(to.value));
  return size;
}

}  // namespace furnace::hypervisor
