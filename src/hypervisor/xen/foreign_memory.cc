#include "hypervisor/xen/foreign_memory.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <xen/sys/privcmd.h>

#include "guest/address.h"

namespace furnace::hypervisor {

ForeignPages::~ForeignPages() {
  if (address_ != nullptr) ::munmap(address_, pages_ * guest::kPageSize);
}

Result<ForeignMemory> ForeignMemory::open() {
  Fd privcmd(::open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC));
  if (!privcmd.valid()) return fail_errno("/dev/xen/privcmd");
  return ForeignMemory(std::move(privcmd));
}

Status ForeignMemory::restrict_to(uint32_t domain) {
  auto id = static_cast<domid_t>(domain);
  if (::ioctl(privcmd_.get(), IOCTL_PRIVCMD_RESTRICT, &id) != 0)
    return fail_errno("/dev/xen/privcmd: restrict it to domain {} (needs Linux 4.14)", domain);
  return {};
}

Result<ForeignPages> ForeignMemory::map(uint32_t domain, int protection, std::span<const xen_pfn_t> frames,
                                        std::span<int> errors) const {
  void* const address =
      ::mmap(nullptr, frames.size() * guest::kPageSize, protection, MAP_SHARED, privcmd_.get(), 0);
  if (address == MAP_FAILED) return fail_errno("memory of domain {}", domain);
  ForeignPages pages(address, frames.size());
  privcmd_mmapbatch_v2_t batch{};
  batch.num = static_cast<unsigned>(frames.size());
  batch.dom = static_cast<domid_t>(domain);
  batch.addr = reinterpret_cast<uintptr_t>(address);
  batch.arr = frames.data();
  batch.err = errors.data();
  // ENOENT means frames that are paged out: `errors` has them.
  if (::ioctl(privcmd_.get(), IOCTL_PRIVCMD_MMAPBATCH_V2, &batch) != 0 && errno != ENOENT)
    return fail_errno("memory of domain {}", domain);
  return pages;
}

}  // namespace furnace::hypervisor
