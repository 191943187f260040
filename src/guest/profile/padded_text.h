// Text with some readable bytes after it: simdjson reads past the end.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace furnace::guest {

class PaddedText {
 public:
  static constexpr size_t kPadding = 64;  // at least SIMDJSON_PADDING

  explicit PaddedText(std::string text) : text_(std::move(text)) { text_.reserve(text_.size() + kPadding); }
  [[nodiscard]] std::string_view view() const { return text_; }

 private:
  std::string text_;
};

}  // namespace furnace::guest
