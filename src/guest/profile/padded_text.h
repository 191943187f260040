// Text with some readable bytes behind it, which simdjson looks at past the end.
#pragma once

#include <fcntl.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "base/fd.h"

namespace furnace::guest {

class PaddedText {
 public:
  static constexpr size_t kPadding = 64;  // at least SIMDJSON_PADDING

  explicit PaddedText(std::string text) : owned_(std::move(text)) {
    owned_.reserve(owned_.size() + kPadding);
  }

  /// A file as it lies in the page cache: tens of megabytes are not copied. The rest of a mapping's last page
  /// reads as zeros; a file that leaves too little of it has no such text.
  explicit PaddedText(Mapping mapping) : mapped_(std::move(mapping)) {}
  [[nodiscard]] static bool fits(const Mapping& mapping) {
    constexpr size_t page = 4096;
    const size_t used = mapping.bytes().size() % page;
    return used != 0 && used <= page - kPadding;
  }

  [[nodiscard]] std::string_view view() const {
    return mapped_.bytes().empty() ? std::string_view(owned_) : as_text(mapped_.bytes());
  }

 private:
  std::string owned_;
  Mapping mapped_;
};

}  // namespace furnace::guest
