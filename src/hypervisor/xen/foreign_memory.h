// Memory of other domains, mapped through the kernel's privcmd device. Not by libxenforeignmemory: that opens
// the device itself, which a confined VMI partition can't; it is lent one that can do nothing else.
#pragma once

#include <span>

#include "base/fd.h"
#include "hypervisor/xen/api.h"

namespace furnace::hypervisor {

/// Memory that was mapped from elsewhere, given back when it goes.
class ForeignPages {
 public:
  ForeignPages() = default;
  ForeignPages(void* address, size_t pages) : address_(static_cast<std::byte*>(address)), pages_(pages) {}
  ForeignPages(ForeignPages&& other) noexcept { *this = std::move(other); }
  ForeignPages& operator=(ForeignPages&& other) noexcept {
    std::swap(address_, other.address_);
    std::swap(pages_, other.pages_);
    return *this;
  }
  ~ForeignPages();
  [[nodiscard]] std::byte* at(size_t offset) const { return address_ + offset; }

 private:
  std::byte* address_ = nullptr;
  size_t pages_ = 0;
};

class ForeignMemory {
 public:
  /// Errc::Denied or Errc::Unavailable say what is missing.
  [[nodiscard]] static Result<ForeignMemory> open();
  /// A device that another process has opened.
  explicit ForeignMemory(Fd privcmd) : privcmd_(std::move(privcmd)) {}
  [[nodiscard]] Fd take_apart() && { return std::move(privcmd_); }

  /// From now on this can map memory of that domain, and nothing else: no hypercall either, for any process
  /// that holds the descriptor (Linux: drivers/xen/privcmd.c, IOCTL_PRIVCMD_RESTRICT).
  [[nodiscard]] Status restrict_to(uint32_t domain);

  /// Maps frames in a row. `errors` says of each whether it is there: 0, or an error number.
  [[nodiscard]] Result<ForeignPages> map(uint32_t domain, int protection, std::span<const xen_pfn_t> frames,
                                         std::span<int> errors) const;

 private:
  Fd privcmd_;
};

}  // namespace furnace::hypervisor
