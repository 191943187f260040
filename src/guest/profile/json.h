// What both JSON forms of a profile need of simdjson. Included by their .cc files alone.
#pragma once

#include <simdjson.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "guest/profile/padded_text.h"

namespace furnace::guest::json {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

/// The parser owns what the element points into.
inline Result<object> parse(simdjson::dom::parser& parser, const PaddedText& text) {
  static_assert(PaddedText::kPadding >= simdjson::SIMDJSON_PADDING);
  object document;
  constexpr bool copy = false;
  if (const auto error = parser.parse(text.view().data(), text.view().size(), copy).get(document))
    return fail(Errc::Invalid, "JSON: {}", simdjson::error_message(error));
  return document;
}

template <typename T>
inline Result<T> member(const object& from, std::string_view name) {
  T value;
  if (const auto error = from[name].get(value))
    return fail(Errc::Invalid, "'{}': {}", printable(name.substr(0, 80)), simdjson::error_message(error));
  return value;
}

/// A member of the type asked for, if there is one.
template <typename T>
inline std::optional<T> find(const object& from, std::string_view name) {
  T value;
  if (from[name].get(value) != simdjson::SUCCESS) return std::nullopt;
  return value;
}

/// An unsigned number; some writers print addresses of the kernel's half as negative ones.
inline Result<uint64_t> number(const element& from) {
  if (uint64_t value; from.get(value) == simdjson::SUCCESS) return value;
  if (int64_t value; from.get(value) == simdjson::SUCCESS) return static_cast<uint64_t>(value);
  return fail(Errc::Invalid, "expected a whole number of 64 bits");
}

inline Result<uint64_t> number(const object& from, std::string_view name) {
  element value;
  if (const auto error = from[name].get(value))
    return fail(Errc::Invalid, "'{}': {}", name, simdjson::error_message(error));
  auto parsed = number(value);
  if (!parsed) return fail(parsed.error(), fmt::format("'{}'", name));
  return parsed;
}

constexpr int kMaxNesting = 32;  // pointers to pointers, arrays of arrays

}  // namespace furnace::guest::json
