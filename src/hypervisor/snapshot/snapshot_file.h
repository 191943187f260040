// The file that a snapshot is written to.
#pragma once

#include <filesystem>
#include <string>

#include "base/directory.h"

namespace furnace::hypervisor {

/// It appears under its name only when it is whole; otherwise nothing of it is left.
class SnapshotFile {
 public:
  [[nodiscard]] static Result<SnapshotFile> create(const std::filesystem::path& file);
  SnapshotFile(SnapshotFile&&) = default;
  SnapshotFile& operator=(SnapshotFile&&) = delete;
  ~SnapshotFile();

  [[nodiscard]] const Fd& descriptor() const { return fd_; }
  /// Gives it its size and its name.
  [[nodiscard]] Status finish(uint64_t size);

 private:
  SnapshotFile(Fd fd, NamedPlace place, std::filesystem::path file)
      : fd_(std::move(fd)), place_(std::move(place)), file_(std::move(file)) {}
  [[nodiscard]] std::string partial() const { return place_.name + ".partial"; }

  Fd fd_;
  NamedPlace place_;
  std::filesystem::path file_;
};

}  // namespace furnace::hypervisor
