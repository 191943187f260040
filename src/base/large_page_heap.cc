#include "base/large_page_heap.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <memory>

namespace furnace {
namespace {

constexpr int kReserved = 1 << 30;  // of address space: pages come when they are touched
constexpr int kDefaultMaps = 65536, kDefaultPad = 128 << 10;  // mallopt(3)
constexpr uintptr_t kLargePage = 2 << 20;

}  // namespace

LargePageHeap::LargePageHeap() {
  ::mallopt(M_MMAP_MAX, 0);
  ::mallopt(M_TOP_PAD, kReserved);
  // An allocation that the heap can't hold yet makes it grow, by kReserved at once.
  const auto before = reinterpret_cast<uintptr_t>(::sbrk(0));
  const std::unique_ptr<void, void (*)(void*)> growth(std::malloc(kLargePage), std::free);
  const auto after = reinterpret_cast<uintptr_t>(::sbrk(0));
  const uintptr_t start = (before + kLargePage - 1) & ~(kLargePage - 1);
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the heap's bounds are addresses
  if (after > start) (void)::madvise(reinterpret_cast<void*>(start), after - start, MADV_HUGEPAGE);
}

LargePageHeap::~LargePageHeap() {
  ::mallopt(M_MMAP_MAX, kDefaultMaps);
  ::mallopt(M_TOP_PAD, kDefaultPad);
  ::malloc_trim(0);
}

}  // namespace furnace
