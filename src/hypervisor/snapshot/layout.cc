#include "hypervisor/snapshot/layout.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "hypervisor/snapshot/elf_core.h"

namespace furnace::hypervisor {
namespace {

using namespace std::string_view_literals;
using guest::Gpa;

/// LiME: a header in front of each range (LiME: README, "Range header"); addresses are inclusive.
struct LimeHeader {
  uint32_t magic, version;
  uint64_t start, end;
  uint64_t reserved;
};
constexpr uint32_t kLimeMagic = 0x4C694D45;
constexpr size_t kMaxPieces = 1 << 16;

Result<SnapshotLayout> read_lime(const ImageFile& file) {
  SnapshotLayout layout{"LiME", {}, {}};
  for (uint64_t at = 0; at < file.size();) {
    LimeHeader header{};
    if (file.read(at, std::as_writable_bytes(std::span(&header, 1))) != sizeof header)
      return fail(Errc::Invalid, "LiME: truncated: no whole header at {:#x}", at);
    if (header.magic != kLimeMagic || header.version != 1)
      return fail(Errc::Invalid, "LiME: no header of version 1 at {:#x}: damaged", at);
    if (header.end < header.start || header.end - header.start >= 1ULL << 48 || header.end == UINT64_MAX)
      return fail(Errc::Invalid, "LiME: range {:#x} to {:#x} at {:#x}", header.start, header.end, at);
    const uint64_t size = header.end - header.start + 1;
    at += sizeof header;
    if (size > file.size() - at)
      return fail(Errc::Invalid, "LiME: truncated: range {:#x} to {:#x} has {} of {} bytes", header.start,
                  header.end, file.size() - at, size);
    if (layout.pieces.size() == kMaxPieces)
      return fail(Errc::Invalid, "LiME: more than {} ranges", kMaxPieces);
    layout.pieces.push_back({{Gpa{header.start}, Gpa{header.end + 1}}, at, size});
    at += size;
  }
  layout.pieces = without_overlap(std::move(layout.pieces));
  return layout;
}

std::string start_of(const ImageFile& file) {
  std::string start(16, '\0');
  start.resize(file.read(0, std::as_writable_bytes(std::span(start))));
  return start;
}

}  // namespace

std::vector<SnapshotPiece> without_overlap(std::vector<SnapshotPiece> pieces) {
  std::stable_sort(pieces.begin(), pieces.end(), [](const SnapshotPiece& a, const SnapshotPiece& b) {
    return a.range.start < b.range.start;
  });
  std::vector<SnapshotPiece> kept;
  uint64_t covered = 0;
  for (SnapshotPiece piece : pieces) {
    if (piece.range.end.value <= covered) continue;
    if (piece.range.start.value < covered) {
      const uint64_t cut = covered - piece.range.start.value;
      piece.range.start = Gpa{covered};
      piece.offset += std::min(cut, piece.stored);
      piece.stored -= std::min(cut, piece.stored);
    }
    covered = piece.range.end.value;
    kept.push_back(piece);
  }
  return kept;
}

bool is_kdump(const ImageFile& file) {
  return is_kdump(std::string_view(start_of(file)));
}

bool is_kdump(std::string_view start) {
  return start.starts_with("KDUMP   ") || start.starts_with("makedumpfile");
}

namespace {

Result<SnapshotLayout> read_any_layout(const ImageFile& file) {
  const std::string start = start_of(file);
  if (start.starts_with("\x7f"
                        "ELF"))
    return read_elf_core(file);
  if (start.starts_with("EMiL")) return read_lime(file);
  for (const auto magic : {"LibvirtQemudSave"sv, "LibvirtQemudPart"sv, "QEVM"sv})
    if (start.starts_with(magic))
      return fail(Errc::Invalid,
                  "a saved VM state, which holds memory in a form that only QEMU reads: make a memory dump "
                  "(virsh dump --memory-only, or furnace vm snapshot)");
  if (start.starts_with("{")) return fail(Errc::Invalid, "JSON text, not guest memory: is it a profile?");
  return SnapshotLayout{"raw", {{{Gpa{0}, Gpa{file.size()}}, 0, file.size()}}, {}};
}

}  // namespace

Result<SnapshotLayout> read_layout(const ImageFile& file) {
  FURNACE_TRY(SnapshotLayout layout, read_any_layout(file));
  // Pieces that share bytes of the file would make a small one terabytes to search.
  uint64_t stored = 0;
  for (const SnapshotPiece& piece : layout.pieces) stored += piece.stored;
  if (stored > file.size())
    return fail(Errc::Invalid, "{}: its parts hold {} bytes, the file has {}", layout.format, stored,
                file.size());
  return layout;
}

}  // namespace furnace::hypervisor
