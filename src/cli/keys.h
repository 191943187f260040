// CURVE keys of apps and backends: made, shown, exchanged for new ones, taken back, checked.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace furnace::cli {

/// Makes app.key, app.pub, be.key and be.pub in `directory`. `app`: the id that the app's key belongs to
/// alone; empty: the name of the directory if that ends in "-app", else any.
[[nodiscard]] Status new_keys(const std::filesystem::path& directory, std::string app);

/// Prints what is public of a certificate, or of all in a directory.
[[nodiscard]] Status show_keys(const std::filesystem::path& path);

struct Rotation {
  std::filesystem::path directory;
  std::string name = "app";    ///< app or be
  std::string window = "24h";  ///< how long the old key stays valid: a number and s, m, h or d
};
/// Exchanges NAME.key and NAME.pub for new ones. The old public key becomes NAME.previous.pub, which is valid
/// beside the new one for the time of the window.
[[nodiscard]] Status rotate_keys(const Rotation& rotation);

/// Takes a public certificate back: PATH.pub becomes PATH.revoked. For a directory: its app.previous.pub.
[[nodiscard]] Status revoke_key(const std::filesystem::path& path);

/// Looks through a directory of keys: form, modes, pairs, validity. An error if something is wrong.
[[nodiscard]] Status check_keys(const std::filesystem::path& directory);

}  // namespace furnace::cli
