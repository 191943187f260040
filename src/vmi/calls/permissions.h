// What apps may do to their VM besides reading it, by the operator's word.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "protocol/calls.h"

namespace furnace::vmi {

enum class Permission : uint8_t {
  Write = 1,   ///< to its memory
  Pause = 2,   ///< it, also by SYNC events
  Events = 4,  ///< register them
};

/// A set of permissions.
class Permissions {
 public:
  [[nodiscard]] bool has(Permission permission) const {
    return (bits_ & static_cast<uint8_t>(permission)) != 0;
  }
  void add(Permission permission) { bits_ |= static_cast<uint8_t>(permission); }
  void add(const Permissions& more) { bits_ |= more.bits_; }

 private:
  uint8_t bits_ = 0;
};

/// What is forbidden to whom.
class Forbidden {
 public:
  /// Each `words` is a list such as "write,pause", for all apps, or "APP=write" for one more.
  [[nodiscard]] static Result<Forbidden> parse(const std::vector<std::string>& words);
  [[nodiscard]] Permissions to(std::string_view app) const;

 private:
  Permissions everyone_;
  std::map<std::string, Permissions, std::less<>> apps_;
};

/// Whether an app to which `forbidden` is forbidden may make calls of this kind.
[[nodiscard]] Status check_permitted(const Permissions& forbidden, protocol::Verb verb);
/// The same for an event that holds the guest until the app has seen it.
[[nodiscard]] Status check_sync_permitted(const Permissions& forbidden);

}  // namespace furnace::vmi
