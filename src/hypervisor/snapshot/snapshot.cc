#include "hypervisor/snapshot/snapshot.h"

#include <algorithm>

#include "base/log.h"
#include "hypervisor/snapshot/kdump.h"

namespace furnace::hypervisor {

using guest::Gpa;
using guest::GpaRange;

SnapshotMemory::SnapshotMemory(std::unique_ptr<ImageFile> file, std::vector<SnapshotPiece> pieces)
    : file_(std::move(file)), pieces_(std::move(pieces)) {
  for (const SnapshotPiece& piece : pieces_) {
    if (!ranges_.empty() && ranges_.back().end == piece.range.start) {
      ranges_.back().end = piece.range.end;
    } else {
      ranges_.push_back(piece.range);
    }
  }
}

size_t SnapshotMemory::read(Gpa from, std::span<std::byte> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const Gpa at = from + done;
    const auto behind =
        std::upper_bound(pieces_.begin(), pieces_.end(), at,
                         [](Gpa gpa, const SnapshotPiece& piece) { return gpa < piece.range.start; });
    if (behind == pieces_.begin()) break;
    const SnapshotPiece& piece = *std::prev(behind);
    if (at >= piece.range.end) break;
    const uint64_t inside = at.value - piece.range.start.value;
    auto part = out.subspan(done);
    if (inside < piece.stored) {
      part = part.first(std::min<uint64_t>(part.size(), piece.stored - inside));
      const size_t got = file_->read(piece.offset + inside, part);
      done += got;
      if (got != part.size()) break;
    } else {
      part = part.first(std::min<uint64_t>(part.size(), piece.range.size() - inside));
      std::fill(part.begin(), part.end(), std::byte{0});
      done += part.size();
    }
  }
  return done;
}

const GpaRange& SnapshotMemory::range_of(Gpa gpa) const {
  const auto behind =
      std::upper_bound(ranges_.begin(), ranges_.end(), gpa,
                       [](Gpa wanted, const GpaRange& range) { return wanted < range.start; });
  return *std::prev(behind);
}

std::vector<GpaRange> SnapshotMemory::used_ranges() const {
  std::vector<GpaRange> used;
  const auto data = file_->data_ranges();
  for (const SnapshotPiece& piece : pieces_)
    for (auto range =
             std::upper_bound(data.begin(), data.end(), piece.offset,
                              [](uint64_t offset, const FileRange&each) { return offset < each.end; });
         range != data.end() && range->start < piece.offset + piece.stored; ++range) {
      const uint64_t start = std::max(range->start, piece.offset);
      const uint64_t end = std::min(range->end, piece.offset + piece.stored);
      const GpaRange part{piece.range.start + (start - piece.offset),
                          piece.range.start + (end - piece.offset)};
      // A kernel image may have holes of zeros: small ones are searched too.
      constexpr uint64_t small_hole = 32 << 20;
      if (!used.empty() && part.start.value - used.back().end.value <= small_hole &&
          part.end <= range_of(used.back().start).end) {
        used.back().end = part.end;
      } else {
        used.push_back(part);
      }
    }
  return used;
}

Result<std::unique_ptr<Hypervisor>> Snapshot::open(const std::filesystem::path& path, Fd scratch) {
  FURNACE_TRY(auto file, ImageFile::open(path));
  return open(std::move(file), path, std::move(scratch));
}

Result<std::unique_ptr<Hypervisor>> Snapshot::open(Fd descriptor, const std::filesystem::path& path,
                                                   Fd scratch) {
  FURNACE_TRY(auto file, ImageFile::open(std::move(descriptor), path.string()));
  return open(std::move(file), path, std::move(scratch));
}

Result<std::unique_ptr<Hypervisor>> Snapshot::open(std::unique_ptr<ImageFile> file,
                                                   const std::filesystem::path& path, Fd scratch) {
  const std::string name = path.filename();
  if (is_kdump(*file)) {
    auto memory = KdumpMemory::open(std::move(file), std::move(scratch));
    if (!memory) return fail(memory.error(), path.string());
    return std::unique_ptr<Hypervisor>(new Snapshot(name, *std::move(memory), {}));
  }
  auto layout = read_layout(*file);
  if (!layout) return fail(layout.error(), path.string());
  log::debug("{}: {}, {} pieces, {} vCPUs", path.string(), layout->format, layout->pieces.size(),
             layout->vcpus.size());
  return std::unique_ptr<Hypervisor>(
      new Snapshot(name, std::make_unique<SnapshotMemory>(std::move(file), std::move(layout->pieces)),
                   std::move(layout->vcpus)));
}

uint64_t Snapshot::memory_size() const {
  uint64_t size = 0;
  for (const GpaRange& range : memory_->ranges()) size += range.size();
  return size;
}

Result<std::optional<Registers>> Snapshot::registers(uint32_t vcpu) {
  if (vcpus_.empty()) return std::nullopt;
  if (vcpu >= vcpus_.size()) return fail(Errc::Invalid, "vCPU {}: the snapshot has {}", vcpu, vcpus_.size());
  return vcpus_[vcpu];
}

}  // namespace furnace::hypervisor
