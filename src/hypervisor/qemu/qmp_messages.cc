#include "hypervisor/qemu/qmp_messages.h"

#include <utility>

namespace furnace::hypervisor {

void QmpMessages::append(std::string_view bytes) {
  bytes_ += bytes;
  look_for_end();
}

std::optional<std::string> QmpMessages::take() {
  if (!end_) return std::nullopt;
  std::string message = bytes_.substr(0, *end_);
  bytes_.erase(0, *end_);
  while (message.ends_with('\n') || message.ends_with('\r')) message.pop_back();
  end_.reset();
  look_for_end();
  return message;
}

void QmpMessages::look_for_end() {
  if (end_) return;
  if (looked_at_ == 0) bytes_.erase(0, bytes_.find_first_not_of(" \t\r\n"));
  const bool is_object = bytes_.starts_with('{');
  for (; looked_at_ < bytes_.size() && !end_; ++looked_at_) {
    const char c = bytes_[looked_at_];
    if (!is_object) {
      if (c == '\n') end_ = looked_at_ + 1;
    } else if (in_string_) {
      if (c == '"' && !escaped_) in_string_ = false;
      escaped_ = c == '\\' && !escaped_;
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{') {
      ++depth_;
    } else if (c == '}' && --depth_ == 0) {
      end_ = looked_at_ + 1;
    }
  }
  if (end_) looked_at_ = 0, depth_ = 0, in_string_ = escaped_ = false;
}

}  // namespace furnace::hypervisor
