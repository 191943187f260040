// Puts a partition's root together and keeps account of what is in it.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"

namespace furnace::sandbox {

/// Lower-case hexadecimal.
[[nodiscard]] std::string sha256(std::string_view data);

class RootBuilder {
 public:
  explicit RootBuilder(std::filesystem::path root) : root_(std::move(root)) {}

  [[nodiscard]] Status make_directory(std::string_view path) const;
  [[nodiscard]] Status make_link(std::string_view path, std::string_view target) const;
  /// A file of the host.
  [[nodiscard]] Status copy(const std::filesystem::path& from, std::string_view path, unsigned mode = 0644);
  /// Files of the host under their own paths, with the shared libraries they need.
  [[nodiscard]] Status copy_with_libraries(const std::vector<std::filesystem::path>& files);
  [[nodiscard]] Status copy_libraries_of(const std::vector<std::filesystem::path>& files);
  /// A file that is in the root already, made by `maker`.
  [[nodiscard]] Status account(std::string_view path, const std::filesystem::path& source);
  /// A file that is part of another one: "usr/lib/python311.zip!json/decoder.py".
  [[nodiscard]] Status account_part(std::string_view path, const std::filesystem::path& source);

  /// The text of the manifest: SHA-256, path, package, version; sorted by path.
  [[nodiscard]] Result<std::string> manifest() const;

 private:
  struct Entry {
    std::string hash;
    std::filesystem::path source;
  };
  std::filesystem::path root_;
  std::map<std::string, Entry> entries_;  ///< by path in the root
};

}  // namespace furnace::sandbox
