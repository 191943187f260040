// What a message between an app and its backend holds: text (UTF-8) or bytes.
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <utility>

namespace furnace::protocol {

struct Content {
  std::string content;
  bool is_bytes = false;

  Content() = default;
  Content(std::string&& text, bool bytes) : content(std::move(text)), is_bytes(bytes) {}
  template <typename Text>
  requires std::convertible_to<Text, std::string_view> Content(const Text& text, bool bytes = false)
      : content(std::string_view(text)), is_bytes(bytes) {}  // text is what is mostly meant
};

/// Writes it into a BeMsg or a BeMsgRet.
template <typename Body>
void set_content(Body& body, Content content) {
  if (content.is_bytes)
    body.set_data(std::move(content.content));
  else
    body.set_value(std::move(content.content));
}

/// Reads what a BeMsg or a BeMsgRet holds.
template <typename Body>
[[nodiscard]] Content content_of(const Body& body) {
  return Content(body.has_data() ? body.data() : body.value(), body.has_data());
}

}  // namespace furnace::protocol
