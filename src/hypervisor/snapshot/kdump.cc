#include "hypervisor/snapshot/kdump.h"

#include <fcntl.h>
#include <libkdumpfile/kdumpfile.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/bytes.h"

namespace furnace::hypervisor {
namespace {

constexpr std::string_view kFlattened = "makedumpfile";

uint64_t big_endian(std::span<const std::byte> bytes, size_t offset) {
  return __builtin_bswap64(load<uint64_t>(bytes, offset).value_or(0));
}

/// An unnamed file that goes with its descriptor.
Result<Fd> temporary_file() {
  std::error_code ignored;
  return open_file(std::filesystem::temp_directory_path(ignored), O_TMPFILE | O_RDWR, 0600);
}

Status put(const Fd& to, std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(to.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written <= 0) return fail_errno("temporary file for the rearranged dump");
    offset += static_cast<uint64_t>(written);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return {};
}

/// QEMU writes dumps so that they can go through a pipe: pieces with the place where they belong (makedumpfile(8), -F).
/// The library reads them rearranged, as `makedumpfile -R` does it.
Result<Fd> rearrange(const ImageFile& file) {
  constexpr uint64_t header = 4096, max_offset = 1ULL << 44;
  constexpr size_t record = 16;
  FURNACE_TRY(Fd out, temporary_file());
  std::vector<std::byte> buffer(1 << 20);
  for (uint64_t at = header;;) {
    std::array<std::byte, record> head;
    if (file.read(at, head) != record) return fail(Errc::Invalid, "kdump, flattened: truncated at {:#x}", at);
    uint64_t offset = big_endian(head, 0);
    uint64_t left = big_endian(head, 8);
    if (offset == UINT64_MAX) return out;  // the mark of the end
    at += record;
    if (offset > max_offset || left > file.size() - at)
      return fail(Errc::Invalid, "kdump, flattened: truncated or damaged at {:#x}", at);
    while (left != 0) {
      const auto piece = std::span(buffer).first(std::min<uint64_t>(buffer.size(), left));
      if (file.read(at, piece) != piece.size()) return fail(Errc::Invalid, "kdump, flattened: can't be read at {:#x}", at);
      FURNACE_CHECK(put(out, piece, offset));
      at += piece.size();
      offset += piece.size();
      left -= piece.size();
    }
  }
}

}  // namespace

using guest::Gpa;
using guest::kPageSize;

KdumpMemory::KdumpMemory(std::unique_ptr<ImageFile> file) : file_(std::move(file)), context_(kdump_new()) {}

Status KdumpMemory::open_dump() {
  std::array<std::byte, kFlattened.size()> start;
  const bool flattened = file_->read(0, start) == start.size() && as_text(start) == kFlattened;
  if (flattened) {
    FURNACE_TRY(rearranged_, rearrange(*file_));
  }
  if (context_ == nullptr) return fail(Errc::Failed, "libkdumpfile: no memory");
  if (kdump_open_fd(context_, flattened ? rearranged_.get() : file_->descriptor()) != KDUMP_OK)
    return fail(Errc::Invalid, "kdump: {}", kdump_get_err(context_));
  return {};
}

KdumpMemory::~KdumpMemory() {
  kdump_free(context_);
}

Result<std::unique_ptr<KdumpMemory>> KdumpMemory::open(std::unique_ptr<ImageFile> file) {
  if (file->descriptor() < 0) return fail(Errc::Invalid, "a kdump file inside zstd: unpack it first (zstd -d)");
  std::unique_ptr<KdumpMemory> made(new KdumpMemory(std::move(file)));
  FURNACE_CHECK(made->open_dump());
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
