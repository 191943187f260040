// What both JSON forms of a profile need of simdjson. Included only by their .cc files.
#pragma once

#include <simdjson.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/printable.h"
#include "base/result.h"
#include "guest/profile/json_outline.h"
#include "guest/profile/padded_text.h"

namespace furnace::guest::json {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

/// `text` with PaddedText::kPadding readable bytes after it. What is parsed stays in the parser until its
/// next use.
inline Result<element> parse(simdjson::dom::parser& parser, std::string_view text) {
  static_assert(PaddedText::kPadding >= simdjson::SIMDJSON_PADDING);
  element value;
  constexpr bool copy = false;
  if (const auto error = parser.parse(text.data(), text.size(), copy).get(value))
    return fail(Errc::Invalid, "JSON: {}", simdjson::error_message(error));
  return value;
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

/// Calls `read` with the name and the value of each member, one after the other; an error says which member
/// of which section it is about.
template <typename F>
inline Status for_each(std::string_view section, const Outline::Members& members, F&& read) {
  simdjson::dom::parser parser;
  for (const auto& [name, text] : members) {
    const auto value = parse(parser, text);
    const Status done = value ? read(name, *value) : Status(tl::unexpected(value.error()));
    if (!done) return fail(done.error(), fmt::format("{}: '{}'", section, printable(name.substr(0, 80))));
  }
  return {};
}

constexpr int kMaxNesting = 32;  // pointers to pointers, arrays of arrays

}  // namespace furnace::guest::json
