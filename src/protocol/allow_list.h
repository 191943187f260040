// Whose keys may connect: public certificates of apps, from files and directories that are read again when
// they change.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/certificate.h"

namespace furnace::protocol {

class AllowList {
 public:
  struct Entry {
    std::string app;  ///< whose key it is, and no other's; empty: of any app
    std::optional<int64_t> valid_until = {};
  };

  /// One key, for as long as this lives.
  void add(const std::string& public_key, const std::string& app = {}) { fixed_[public_key] = {app, {}}; }
  /// A certificate's file, and the one that was valid before its last rotation: NAME.previous.pub beside it.
  /// What can't be read is an error; later, when it is read again, a warning, and what was read before stays.
  [[nodiscard]] Status add_file(const std::filesystem::path& file);
  /// A directory of certificates APP.pub, or of directories APP with app.pub; a key belongs to the app that
  /// its place names. A file that is no certificate is an error that names it, and the others are taken.
  [[nodiscard]] Status add_directory(const std::filesystem::path& directory);

  /// Reads the files again if any has changed. True if the list is another one now.
  bool refresh();

  /// nullptr: this key may not connect, or not any more.
  [[nodiscard]] const Entry* find(std::string_view public_key) const;
  [[nodiscard]] bool allows(std::string_view public_key, std::string_view app) const;

  /// How many different apps have keys here; keys of any app count as one.
  [[nodiscard]] size_t apps() const;
  [[nodiscard]] size_t keys() const { return fixed_.size() + read_.size(); }

 private:
  using Keys = std::map<std::string, Entry, std::less<>>;
  struct Source {
    std::filesystem::path path;
    bool is_directory;
  };
  [[nodiscard]] Status read(const Source& source, Keys& into) const;
  [[nodiscard]] Status add(Source source);
  /// Names, sizes and times of all files.
  [[nodiscard]] std::string state_of_files() const;

  std::vector<Source> sources_;
  Keys fixed_, read_;
  std::string state_;
};

}  // namespace furnace::protocol
