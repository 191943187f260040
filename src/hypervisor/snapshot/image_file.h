// The bytes of a snapshot file by their offset, whether it is stored as it is or compressed with zstd.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace furnace::hypervisor {

/// [start, end) of a file.
struct FileRange {
  uint64_t start = 0, end = 0;
};

class ImageFile {
 public:
  virtual ~ImageFile() = default;

  /// Opens a file: a plain one, or zstd in the seekable form (independent frames, and a table of them at the
  /// end).
  [[nodiscard]] static Result<std::unique_ptr<ImageFile>> open(const std::filesystem::path& file);
  /// The same of a file that is open; `name` is for errors.
  [[nodiscard]] static Result<std::unique_ptr<ImageFile>> open(Fd file, const std::string& name);

  /// Bytes of the uncompressed content.
  [[nodiscard]] virtual uint64_t size() const = 0;
  /// Copies from `offset` on into `out`; returns the bytes copied, fewer at the end or where the file is
  /// damaged.
  [[nodiscard]] virtual size_t read(uint64_t offset, std::span<std::byte> out) const = 0;
  /// The parts that are not holes of a sparse file.
  [[nodiscard]] virtual std::vector<FileRange> data_ranges() const { return {{0, size()}}; }
  /// The descriptor of a plain file, for libraries; -1 if there is none.
  [[nodiscard]] virtual int descriptor() const { return -1; }
};

}  // namespace furnace::hypervisor
