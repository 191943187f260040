#include "protocol/server_keys.h"

namespace furnace::protocol {

namespace fs = std::filesystem;

fs::path previous_of(const fs::path& certificate) {
  fs::path previous = certificate.parent_path() / certificate.stem();
  previous += ".previous.pub";
  return previous;
}

Result<ServerKeys> ServerKeys::load(const fs::path& file) {
  FURNACE_TRY(const Certificate own, load_public(file));
  std::vector<Trusted> trusted{{own.public_key, own.valid_until}};
  std::error_code error;
  if (const fs::path previous = previous_of(file); fs::exists(previous, error)) {
    FURNACE_TRY(const Certificate before, load_public(previous));
    if (!before.valid_until)
      return fail(Errc::Invalid, "{}: says no time until which it is valid", previous.string());
    trusted.push_back({before.public_key, before.valid_until});
  }
  ServerKeys keys(std::move(trusted));
  keys.drop_expired();
  return keys;
}

bool ServerKeys::try_other(std::time_t now) {
  if (drop_expired(now)) return true;
  if (trusted_.size() == 1) return false;
  current_ = (current_ + 1) % trusted_.size();
  return true;
}

bool ServerKeys::drop_expired(std::time_t now) {
  if (trusted_.size() == 1 || *trusted_.back().valid_until > now) return false;
  trusted_.pop_back();
  return std::exchange(current_, 0) != 0;
}

}  // namespace furnace::protocol
