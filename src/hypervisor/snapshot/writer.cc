#include "hypervisor/snapshot/writer.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>

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

/// A file that is written from its start, with holes.
class Output {
 public:
  Output(const Fd& file, const std::string& name) : file_(file), name_(name) {}

  Status append(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t put = ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(size_));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return fail_errno("{}", name_);
      size_ += static_cast<uint64_t>(put);
      bytes = bytes.subspan(static_cast<size_t>(put));
    }
    return {};
  }
  void skip(uint64_t bytes) { size_ += bytes; }
  [[nodiscard]] uint64_t size() const { return size_; }

 private:
  const Fd& file_;
  const std::string& name_;
  uint64_t size_ = 0;
};

/// Memory on its way into the file, compressed or with holes.
class MemorySink {
 public:
  MemorySink(Output& file, bool zstd) : file_(file) {
    if (zstd) zstd_.emplace([&file](std::span<const std::byte> packed) { return file.append(packed); });
  }
  Status write(std::span<const std::byte> bytes) {
    if (zstd_) return zstd_->write(bytes);
    if (!all_zero(bytes)) return file_.append(bytes);
    file_.skip(bytes.size());
    return {};
  }
  Status finish() { return zstd_ ? zstd_->finish() : Status(); }

 private:
  Output& file_;
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

Status write_paused(Hypervisor& vm, Output& file, const SnapshotOptions& options,
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

Result<uint64_t> write_snapshot(Hypervisor& vm, const Fd& file, const std::string& name,
                                const SnapshotOptions& options, const SnapshotProgress& progress) {
  Output output(file, name);
  FURNACE_CHECK(vm.pause());
  const Status written = write_paused(vm, output, options, progress);
  // Who can't end the pause does not know how long it lasted: the memory may have changed while it was
  // copied.
  const auto resumed = vm.resume();
  if (!written) return tl::unexpected<Error>(written.error());
  if (!resumed)
    return fail(resumed.error(), fmt::format("{} was not written: VM '{}' not resumed", name, vm.name()));
  return output.size();
}

}  // namespace furnace::hypervisor
