#include "hypervisor/snapshot/snapshot.h"

#include <algorithm>

#include "fuzz.h"
#include "hypervisor/snapshot/seekable_zstd.h"

namespace {

using namespace furnace::hypervisor;

class InputFile : public ImageFile {
 public:
  explicit InputFile(std::span<const std::byte> input) : input_(input) {}
  [[nodiscard]] uint64_t size() const override { return input_.size(); }
  [[nodiscard]] size_t read(uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= input_.size()) return 0;
    const size_t size = std::min<uint64_t>(out.size(), input_.size() - offset);
    std::copy_n(input_.begin() + static_cast<ptrdiff_t>(offset), size, out.begin());
    return size;
  }

 private:
  std::span<const std::byte> input_;
};

void read_all(std::unique_ptr<ImageFile> file) {
  auto layout = read_layout(*file);
  if (!layout) return;
  const SnapshotMemory memory(std::move(file), std::move(layout->pieces));
  std::array<std::byte, 5000> buffer{};
  for (const auto& range : memory.ranges()) (void)memory.read(range.start, buffer);
  (void)memory.used_ranges();
}

}  // namespace

// Raw, LiME and ELF core; and the same inside seekable zstd.
FUZZ(snapshot) {
  if (input.empty()) return;
  read_all(std::make_unique<InputFile>(input));
  if (auto unpacked = SeekableZstd::open(std::make_unique<InputFile>(input))) read_all(*std::move(unpacked));
}
