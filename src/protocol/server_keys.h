// Which keys of a CURVE server its clients trust: its own, and for a while the one before the last rotation.
#pragma once

#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include "protocol/certificate.h"

namespace furnace::protocol {

/// A client can name one key of the server that it connects to. While there are two, it finds out by trying
/// which one the server has.
class ServerKeys {
 public:
  /// One key, for good.
  explicit ServerKeys(std::string public_key = {}) : trusted_{{std::move(public_key), {}}} {}
  /// A certificate NAME.pub or NAME.key, and NAME.previous.pub beside it if that is there and still valid.
  [[nodiscard]] static Result<ServerKeys> load(const std::filesystem::path& file);

  /// What to connect with.
  [[nodiscard]] const std::string& current() const { return trusted_[current_].public_key; }
  /// After a handshake that failed: the other key's turn. False: there is no other that is valid.
  bool try_other(std::time_t now = std::time(nullptr));
  /// Drops what is not valid any more. True if `current` is another key now.
  bool drop_expired(std::time_t now = std::time(nullptr));

 private:
  struct Trusted {
    std::string public_key;
    std::optional<int64_t> valid_until;
  };
  explicit ServerKeys(std::vector<Trusted> trusted) : trusted_(std::move(trusted)) {}

  std::vector<Trusted> trusted_;  // never empty: the first one is the server's newest
  size_t current_ = 0;
};

/// The public certificate that was valid before the last rotation of NAME.pub or NAME.key.
[[nodiscard]] std::filesystem::path previous_of(const std::filesystem::path& certificate);

}  // namespace furnace::protocol
