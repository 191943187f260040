// Profiles of kernel builds on disk, so that a second attach takes milliseconds.
#pragma once

#include <filesystem>

#include "guest/profile/locate.h"

namespace furnace::vmi {

/// A directory with one file per kernel build, named after a hash of the build's banner. Files that are
/// damaged or of another version are ignored and replaced.
class ProfileStore : public guest::ProfileCache {
 public:
  explicit ProfileStore(std::filesystem::path directory) : directory_(std::move(directory)) {}

  /// $FURNACE_CACHE, else $XDG_CACHE_HOME/furnace, else ~/.cache/furnace, else /var/cache/furnace; +
  /// "/profiles".
  [[nodiscard]] static std::filesystem::path default_directory();

  [[nodiscard]] std::shared_ptr<const guest::Profile> find(
      const std::function<bool(const guest::ProfileSummary&)>& matches) override;
  void store(const guest::Profile& profile) override;

 private:
  [[nodiscard]] std::filesystem::path file(std::string_view banner) const;
  std::filesystem::path directory_;
};

}  // namespace furnace::vmi
