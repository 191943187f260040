#include "hypervisor/snapshot/kdump.h"

#include <libkdumpfile/kdumpfile.h>

namespace furnace::hypervisor {

using guest::Gpa;
using guest::kPageSize;

KdumpMemory::KdumpMemory(std::unique_ptr<ImageFile> file) : file_(std::move(file)), context_(kdump_new()) {}

KdumpMemory::~KdumpMemory() {
  kdump_free(context_);
}

Result<std::unique_ptr<KdumpMemory>> KdumpMemory::open(std::unique_ptr<ImageFile> file) {
  if (file->descriptor() < 0) return fail(Errc::Invalid, "a kdump file inside zstd: unpack it first (zstd -d)");
  std::unique_ptr<KdumpMemory> made(new KdumpMemory(std::move(file)));
  if (made->context_ == nullptr) return fail(Errc::Failed, "libkdumpfile: no memory");
  if (kdump_open_fd(made->context_, made->file_->descriptor()) != KDUMP_OK)
    return fail(Errc::Invalid, "kdump: {}", kdump_get_err(made->context_));
  FURNACE_CHECK(made->find_ranges());
  return made;
}

/// Which pages the file holds: excluded ones (zeros, caches) read as missing.
Status KdumpMemory::find_ranges() {
  kdump_attr_t attribute{};
  if (kdump_get_attr(context_, KDUMP_ATTR_FILE_PAGEMAP, &attribute) != KDUMP_OK || attribute.type != KDUMP_BITMAP)
    return fail(Errc::Invalid, "kdump: no map of its pages: {}", kdump_get_err(context_));
  kdump_bmp_t* pages = attribute.val.bitmap;
  constexpr size_t max_ranges = 1 << 20;
  for (kdump_addr_t page = 0; ranges_.size() < max_ranges && kdump_bmp_find_set(pages, &page) == KDUMP_OK;) {
    const kdump_addr_t start = page;
    if (kdump_bmp_find_clear(pages, &page) != KDUMP_OK) page = start + 1;
    ranges_.push_back({Gpa{start * kPageSize}, Gpa{page * kPageSize}});
  }
  if (ranges_.empty()) return fail(Errc::Invalid, "kdump: no pages in it");
  return {};
}

size_t KdumpMemory::read(Gpa from, std::span<std::byte> out) const {
  size_t size = out.size();
  if (kdump_read(context_, KDUMP_MACHPHYSADDR, from.value, out.data(), &size) != KDUMP_OK)
    kdump_clear_err(context_);
  return size;
}

}  // namespace furnace::hypervisor
