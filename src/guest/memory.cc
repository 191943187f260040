#include "guest/memory.h"

#include <algorithm>

namespace furnace::guest {

void GuestMemory::search(GpaRange range, std::span<const std::byte> needle,
                         const std::function<bool(Gpa)>& found) const {
  // Fits the second-level cache, so that the copy costs little beside the search.
  constexpr size_t chunk = 256 << 10;
  const size_t overlap = needle.size() - 1;
  std::vector<std::byte> buffer(chunk + overlap);
  for (Gpa at = range.start; at < range.end; at = at + chunk) {
    const size_t wanted = std::min<uint64_t>(buffer.size(), range.end.value - at.value);
    const std::span<const std::byte> part =
        std::span(buffer).first(read(at, std::span(buffer).first(wanted)));
    for (size_t offset = 0; offset < part.size();) {
      const void* hit = ::memmem(part.data() + offset, part.size() - offset, needle.data(), needle.size());
      if (hit == nullptr) break;
      offset = static_cast<size_t>(static_cast<const std::byte*>(hit) - part.data());
      if (!found(at + offset)) return;
      ++offset;
    }
  }
}

}  // namespace furnace::guest
