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

using protocol::Needs;

/// A set of what calls may need.
class Permissions {
 public:
  [[nodiscard]] bool has(Needs each) const { return (bits_ & bit(each)) != 0; }
  void add(Needs each) { bits_ |= bit(each); }
  void add(const Permissions& more) { bits_ |= more.bits_; }

 private:
  static uint8_t bit(Needs each) {
    return each == Needs::Nothing ? 0 : static_cast<uint8_t>(1U << static_cast<unsigned>(each));
  }
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

/// Errc::Denied if `forbidden` has what a call needs.
[[nodiscard]] Status check_permitted(const Permissions& forbidden, Needs needs);

}  // namespace furnace::vmi
