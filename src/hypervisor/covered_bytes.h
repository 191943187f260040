// What is read in place of the bytes that are ours: what the guest has under a breakpoint.
#pragma once

#include <map>
#include <optional>
#include <span>

#include "guest/address.h"

namespace furnace::hypervisor {

class CoveredBytes {
 public:
  /// What was there; nullopt: nothing of ours is there any more.
  void set(guest::Gpa at, std::optional<std::byte> original) {
    if (original)
      covered_[at.value] = *original;
    else
      covered_.erase(at.value);
  }
  /// Puts them into what was read from `from` on.
  void apply(guest::Gpa from, std::span<std::byte> read) const {
    for (auto it = covered_.lower_bound(from.value);
         it != covered_.end() && it->first - from.value < read.size(); ++it)
      read[it->first - from.value] = it->second;
  }
  /// By physical address.
  [[nodiscard]] const std::map<uint64_t, std::byte>& all() const { return covered_; }

 private:
  std::map<uint64_t, std::byte> covered_;
};

}  // namespace furnace::hypervisor
