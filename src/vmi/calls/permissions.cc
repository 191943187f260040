#include "vmi/calls/permissions.h"

#include <algorithm>

#include "base/enum_table.h"
#include "base/text.h"

namespace furnace::vmi {
namespace {

/// What may be forbidden, and how an app reads it.
constexpr EnumTable<Needs, std::string_view> kMeanings({{Needs::Nothing, ""},
                                                        {Needs::Write, "writing to its VM"},
                                                        {Needs::Pause, "pausing its VM"},
                                                        {Needs::Events, "registering events"}});

Result<Permissions> parse_words(std::string_view text) {
  Permissions permissions;
  for (const std::string_view word : split(text, ',')) {
    const auto known = std::find_if(kMeanings.begin(), kMeanings.end(), [&](const auto& each) {
      return each.key != Needs::Nothing && protocol::word_of(each.key) == word;
    });
    if (known == kMeanings.end())
      return fail(Errc::Invalid, "--forbid: '{}' is none of write, pause, events", word);
    permissions.add(known->key);
  }
  return permissions;
}

}  // namespace

Result<Forbidden> Forbidden::parse(const std::vector<std::string>& words) {
  Forbidden forbidden;
  for (const std::string& each : words) {
    const size_t sign = each.rfind('=');
    FURNACE_TRY(const Permissions parsed,
                parse_words(std::string_view(each).substr(sign == std::string::npos ? 0 : sign + 1)));
    if (sign == std::string::npos) {
      forbidden.everyone_.add(parsed);
    } else {
      forbidden.apps_[each.substr(0, sign)].add(parsed);
    }
  }
  return forbidden;
}

Permissions Forbidden::to(std::string_view app) const {
  Permissions all = everyone_;
  if (const auto own = apps_.find(app); own != apps_.end()) all.add(own->second);
  return all;
}

Status check_permitted(const Permissions& forbidden, Needs needs) {
  if (!forbidden.has(needs)) return {};
  return fail(Errc::Denied, "the operator forbids this app {}", kMeanings[needs]);
}

}  // namespace furnace::vmi
