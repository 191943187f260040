// zstd files that can be read at random places: independent frames and a table of their sizes in a skippable
// frame at the end (zstd: contrib/seekable_format/zstd_seekable_compression_format.md). `zstd -d` unpacks
// them too.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "hypervisor/snapshot/image_file.h"

namespace furnace::hypervisor {

class SeekableZstd : public ImageFile {
 public:
  /// Reads the table of `file`. Everything in it is checked; frames are, when they are read.
  [[nodiscard]] static Result<std::unique_ptr<SeekableZstd>> open(std::unique_ptr<ImageFile> file);

  [[nodiscard]] uint64_t size() const override { return size_; }
  [[nodiscard]] size_t read(uint64_t offset, std::span<std::byte> out) const override;

 private:
  struct Frame {
    uint64_t offset;  ///< in the compressed file
    uint64_t start;   ///< in the content
    uint32_t packed_size, size;
  };
  struct Unpacked {
    size_t frame = SIZE_MAX;
    uint64_t used = 0;
    std::vector<std::byte> bytes;
  };
  explicit SeekableZstd(std::unique_ptr<ImageFile> file) : file_(std::move(file)) {}
  [[nodiscard]] std::span<const std::byte> frame(size_t index) const;

  std::unique_ptr<ImageFile> file_;
  std::vector<Frame> frames_;
  uint64_t size_ = 0;
  mutable std::array<Unpacked, 8> cache_;
  mutable uint64_t clock_ = 0;
};

/// Writes the form that SeekableZstd reads.
class SeekableZstdWriter {
 public:
  static constexpr size_t kFrame = 1 << 20;
  using Sink = std::function<Status(std::span<const std::byte>)>;

  explicit SeekableZstdWriter(Sink sink);
  ~SeekableZstdWriter();
  SeekableZstdWriter(const SeekableZstdWriter&) = delete;
  SeekableZstdWriter& operator=(const SeekableZstdWriter&) = delete;

  [[nodiscard]] Status write(std::span<const std::byte> content);
  /// Writes what is left, and the table.
  [[nodiscard]] Status finish();

 private:
  [[nodiscard]] Status flush();

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace furnace::hypervisor
