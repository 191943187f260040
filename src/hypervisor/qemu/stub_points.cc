#include "hypervisor/qemu/stub_points.h"

#include <algorithm>

#include "guest/address_space.h"
#include "hypervisor/qemu/memory_access.h"

namespace furnace::hypervisor {
namespace {

using Kind = StubPoint::Kind;

constexpr uint64_t kMaxSlotted = 4096;  // bytes of a range that is watched in pieces
constexpr uint64_t kMaxExecuted = 64;   // bytes of code with a breakpoint on each

}  // namespace

Result<std::vector<StubPoint>> points_of(const Watch& watch) {
  const uint64_t start = watch.address.value;
  if (watch.kind == EventKind::Breakpoint) return std::vector{StubPoint{Kind::Breakpoint, start, 1}};
  if (!watch.after.empty()) return std::vector{StubPoint{Kind::Write, start, watch.length}};
  std::vector<StubPoint> points;
  if ((watch.access & kAccessExecute) != 0) {
    if (watch.length > kMaxExecuted)
      return fail(Errc::Invalid, "execution of {} bytes: at most {} can be watched", watch.length,
                  kMaxExecuted);
    for (uint64_t i = 0; i < watch.length; ++i) points.push_back({Kind::Breakpoint, start + i, 1});
  }
  const uint8_t data = watch.access & (kAccessRead | kAccessWrite);
  if (data == 0) return points;
  if (auto checked = check_length(watch); !checked) return tl::unexpected(checked.error());
  const Kind kind = data == kAccessWrite ? Kind::Write : data == kAccessRead ? Kind::Read : Kind::Access;
  const uint64_t piece = watch.length <= kMaxSlotted ? WatchedBytes::kSlot : guest::kPageSize;
  for (uint64_t at = start; at < start + watch.length;) {
    const uint64_t end = std::min(start + watch.length, at / piece * piece + piece);
    points.push_back({kind, at, end - at});
    at = end;
  }
  return points;
}

bool reports_access(const Watch& watch) {
  return watch.kind == EventKind::MemoryAccess && watch.after.empty();
}

}  // namespace furnace::hypervisor
