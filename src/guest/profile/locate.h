// Finds the running kernel and its profile only from guest memory: no debug symbols, no files, no help of
// the guest.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "base/result.h"
#include "guest/kernel.h"
#include "guest/memory.h"

namespace furnace::guest {

/// Paging registers of a vCPU. With them the kernel image is found through the page table in use, in
/// microseconds, and a kernel left in memory from before a reboot can't be mistaken for the running one.
/// Without (a snapshot), all of memory is searched.
struct PagingState {
  uint64_t cr0 = 0, cr3 = 0, cr4 = 0;
  uint64_t efer = 0;
};

/// Keeps profiles between runs.
class ProfileCache {
 public:
  virtual ~ProfileCache() = default;
  /// The first profile held for which `matches` is true; nullptr if there is none.
  [[nodiscard]] virtual std::shared_ptr<const Profile> find(
      const std::function<bool(const ProfileSummary&)>& matches) = 0;
  virtual void store(const Profile& profile) = 0;
};

/// Finds the kernel. Errc::Unavailable: none runs yet (firmware, boot loader, early boot).
/// `cache` may be nullptr.
[[nodiscard]] Result<Kernel> locate_kernel(const GuestMemory& memory,
                                           const std::optional<PagingState>& paging, ProfileCache* cache);

/// Places a profile that was given: the guest must run the very kernel it describes. Errc::Invalid names both
/// kernels if it doesn't.
[[nodiscard]] Result<Kernel> locate_kernel(const GuestMemory& memory,
                                           const std::optional<PagingState>& paging,
                                           const std::shared_ptr<const Profile>& profile);

}  // namespace furnace::guest
