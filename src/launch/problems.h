// All that is wrong with something, not only the first of it.
#pragma once

#include <fmt/ranges.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "base/text.h"

namespace furnace::launch {

class Problems {
 public:
  void add(std::string text) { texts_.push_back(std::move(text)); }
  /// An error of several lines is as many problems.
  void add(const Status& status) {
    if (status) return;
    for (const std::string_view line : split(status.error().message(), '\n')) add(std::string(line));
  }

  [[nodiscard]] bool empty() const { return texts_.empty(); }
  [[nodiscard]] const std::vector<std::string>& texts() const { return texts_; }

  /// An error that lists them all.
  [[nodiscard]] Status status() const {
    if (texts_.empty()) return {};
    if (texts_.size() == 1) return fail(Errc::Invalid, "{}", texts_.front());
    return fail(Errc::Invalid, "{} problems:\n  {}", texts_.size(), fmt::join(texts_, "\n  "));
  }

 private:
  std::vector<std::string> texts_;
};

}  // namespace furnace::launch
