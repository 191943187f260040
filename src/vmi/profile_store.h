// Profiles of kernel builds on disk, so that a second attach takes milliseconds.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

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

  /// Those of one VM, by its name: what a reader finds in it, whom a guest may have taken over, is used for
  /// no other VM.
  [[nodiscard]] static ProfileStore of_vm(std::string_view vm);
  /// The profiles held, open for reading; the newest first.
  [[nodiscard]] std::vector<Fd> files() const;
  /// Stores bytes that a reader calls a profile, if they begin as one does, and removes all but the newest
  /// few.
  void store_image(std::string_view image);

 private:
  [[nodiscard]] std::vector<std::filesystem::path> newest_first() const;
  void write(std::string_view banner, std::string_view image);
  [[nodiscard]] std::filesystem::path file(std::string_view banner) const;
  std::filesystem::path directory_;
};

}  // namespace furnace::vmi
