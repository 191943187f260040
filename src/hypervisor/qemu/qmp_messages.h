// Takes what QEMU sends apart into messages: one in each line, or over several with pretty=on.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace furnace::hypervisor {

class QmpMessages {
 public:
  void append(std::string_view bytes);
  /// The next whole message: a JSON object, or else a line, which is none of QEMU's.
  [[nodiscard]] std::optional<std::string> take();
  [[nodiscard]] bool any() const { return end_.has_value(); }
  /// Bytes that it holds.
  [[nodiscard]] size_t size() const { return bytes_.size(); }

 private:
  void look_for_end();

  std::string bytes_;          // begins with the next message
  std::optional<size_t> end_;  // of that message
  size_t looked_at_ = 0;
  size_t depth_ = 0;  // of braces open there
  bool in_string_ = false, escaped_ = false;
};

}  // namespace furnace::hypervisor
