// A heap of large pages for a while: parsing tens of megabytes touches so much fresh memory that page faults
// of 4 KB cost more than the parsing.
#pragma once

namespace furnace {

/// While it lives, large allocations of the main thread come from the heap, and the heap asks for pages of 2
/// MB. Where the kernel has none to give (transparent_hugepage is "never"), nothing changes. Its end gives
/// unused memory back.
class LargePageHeap {
 public:
  LargePageHeap();
  ~LargePageHeap();
  LargePageHeap(const LargePageHeap&) = delete;
  LargePageHeap& operator=(const LargePageHeap&) = delete;
};

}  // namespace furnace
