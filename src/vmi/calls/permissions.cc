#include "vmi/calls/permissions.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace furnace::vmi {
namespace {

using protocol::Verb;

struct Word {
  std::string_view word;
  Permission permission;
  std::string_view meaning;
};
constexpr std::array kWords{Word{"write", Permission::Write, "writing to its VM"},
                            Word{"pause", Permission::Pause, "pausing its VM"},
                            Word{"events", Permission::Events, "registering events"}};

Result<Permissions> parse_words(std::string_view text) {
  Permissions permissions;
  for (const std::string_view word : split(text, ',')) {
    const auto* const known =
        std::find_if(kWords.begin(), kWords.end(), [&](const Word& each) { return each.word == word; });
    if (known == kWords.end())
      return fail(Errc::Invalid, "--forbid: '{}' is none of write, pause, events", word);
    permissions.add(known->permission);
  }
  return permissions;
}

Status check(const Permissions& forbidden, Permission permission) {
  if (!forbidden.has(permission)) return {};
  for (const Word& each : kWords)
    if (each.permission == permission)
      return fail(Errc::Denied, "the operator forbids this app {}", each.meaning);
  return fail(Errc::Denied, "the operator forbids it");
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

Status check_permitted(const Permissions& forbidden, Verb verb) {
  switch (verb) {
    case Verb::WriteBytes:
    case Verb::WriteNumber:
      return check(forbidden, Permission::Write);
    case Verb::PauseVm:
      return check(forbidden, Permission::Pause);
    case Verb::EventRegister:
    case Verb::StartSyscall:
      return check(forbidden, Permission::Events);
    default:
      return {};
  }
}

Status check_sync_permitted(const Permissions& forbidden) {
  return check(forbidden, Permission::Pause);
}

}  // namespace furnace::vmi
