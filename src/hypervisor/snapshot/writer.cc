#include "hypervisor/snapshot/writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/directory.h"
#include "base/log.h"
#include "hypervisor/snapshot/elf_core.h"
#include "hypervisor/snapshot/seekable_zstd.h"

namespace furnace::hypervisor {
namespace {

using guest::GpaRange;

constexpr size_t kPiece = 1 << 20;

bool all_zero(std::span<const std::byte> bytes) {
  return bytes.empty() ||
         (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

/// The file while it is written: removed unless it is finished.
class PartialFile {
 public:
  static Result<PartialFile> create(const std::filesystem::path& file) {
    FURNACE_TRY(NamedPlace place, place_of_file(file, Care::Links));
    const std::string partial = place.name + ".partial";
    ::unlinkat(place.directory.descriptor(), partial.c_str(), 0);  // of one that was killed
    // Memory holds secrets: for the owner alone.
    FURNACE_TRY(Fd fd, place.directory.open_file(partial, O_WRONLY | O_CREAT | O_EXCL, 0600));
    return PartialFile(std::move(fd), std::move(place), file);
  }
  PartialFile(PartialFile&&) = default;
  PartialFile& operator=(PartialFile&&) = delete;
  ~PartialFile() {
    if (fd_.valid()) ::unlinkat(place_.directory.descriptor(), partial().c_str(), 0);
  }

  Status append(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t put = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(size_));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return fail_errno("{}", file_.string());
      size_ += static_cast<uint64_t>(put);
      bytes = bytes.subspan(static_cast<size_t>(put));
    }
    return {};
  }
  void skip(uint64_t bytes) { size_ += bytes; }

  Status finish() {
    if (::ftruncate(fd_.get(), static_cast<off_t>(size_)) != 0 || ::fsync(fd_.get()) != 0)
      return fail_errno("{}", file_.string());
    FURNACE_CHECK(place_.directory.rename(partial(), place_.name));
    fd_.close();
    return {};
  }

 private:
  PartialFile(Fd fd, NamedPlace place, std::filesystem::path file)
      : fd_(std::move(fd)), place_(std::move(place)), file_(std::move(file)) {}
  [[nodiscard]] std::string partial() const { return place_.name + ".partial"; }
  Fd fd_;
  NamedPlace place_;
  std::filesystem::path file_;
  uint64_t size_ = 0;
};

/// Memory on its way into the file, compressed or with holes.
class MemorySink {
 public:
  MemorySink(PartialFile& file, bool zstd) : file_(file) {
    if (zstd) zstd_.emplace([&file](std::span<const std::byte> packed) { return file.append(packed); });
  }
  Status write(std::span<const std::byte> bytes) {
    if (zstd_) return zstd_->write(bytes);
    if (!all_zero(bytes)) return file_.append(bytes);
    file_.skip(bytes.size());
    return {};
  }
  Status finish() {
    if (zstd_) FURNACE_CHECK(zstd_->finish());
    return file_.finish();
  }

 private:
  PartialFile& file_;
  std::optional<SeekableZstdWriter> zstd_;
};

std::vector<Registers> all_registers(Hypervisor& vm) {
  std::vector<Registers> vcpus;
  constexpr uint32_t max_vcpus = 4096;
  for (uint32_t vcpu = 0; vcpu < max_vcpus; ++vcpu) {
    auto registers = vm.registers(vcpu);
    if (!registers || !*registers) break;
    vcpus.push_back(**std::move(registers));
  }
  return vcpus;
}

/// A raw file is the physical address space from 0 on, holes as zeros.
std::vector<GpaRange> ranges_of(const guest::GuestMemory& memory, SnapshotFormat format) {
  if (format == SnapshotFormat::ElfCore) return memory.ranges();
  return {{guest::Gpa{0}, memory.ranges().empty() ? guest::Gpa{0} : memory.ranges().back().end}};
}

Status write_paused(Hypervisor& vm, PartialFile& file, const SnapshotOptions& options,
                    const SnapshotProgress& progress) {
  const guest::GuestMemory& memory = vm.memory();
  const auto ranges = ranges_of(memory, options.format);
  uint64_t total = 0;
  for (const GpaRange& range : ranges) total += range.size();
  MemorySink sink(file, options.zstd);
  if (options.format == SnapshotFormat::ElfCore)
    FURNACE_CHECK(sink.write(elf_core_head(ranges, all_registers(vm))));
  std::vector<std::byte> buffer(kPiece);
  uint64_t done = 0;
  for (const GpaRange& range : ranges)
    for (guest::Gpa at = range.start; at < range.end; at = at + kPiece) {
      const auto piece = std::span(buffer).first(std::min<uint64_t>(kPiece, range.end.value - at.value));
      const size_t got = memory.read(at, piece);
      std::fill(piece.begin() + static_cast<ptrdiff_t>(got), piece.end(), std::byte{0});
      FURNACE_CHECK(sink.write(piece));
      FURNACE_CHECK(progress(done += piece.size(), total));
    }
  return sink.finish();
}

}  // namespace

Status write_snapshot(Hypervisor& vm, const std::filesystem::path& file, const SnapshotOptions& options,
                      const SnapshotProgress& progress) {
  FURNACE_TRY(PartialFile partial, PartialFile::create(file));
  FURNACE_CHECK(vm.pause());
  Status written = write_paused(vm, partial, options, progress);
  // Who can't end the pause does not know how long it lasted: the memory may have changed while it was
  // copied.
  auto resumed = vm.resume();
  if (written && !resumed) {
    std::error_code ignored;
    std::filesystem::remove(file, ignored);
    return fail(resumed.error(),
                fmt::format("{} was not written: VM '{}' not resumed", file.string(), vm.name()));
  }
  return written;
}

}  // namespace furnace::hypervisor
