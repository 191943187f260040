// JSON for terminals, logs and pipes: it is ASCII, and no bytes of others make it fail.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace furnace {

/// Returns the document's text. What is not ASCII is escaped, and U+FFFD replaces what is not UTF-8.
/// `indent`: -1 for one line.
template <typename Json>
[[nodiscard]] std::string json_text(const Json& document, int indent = -1) {
  return document.dump(indent, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}

}  // namespace furnace
