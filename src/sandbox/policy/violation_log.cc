#include "sandbox/policy/violation_log.h"

#include <set>
#include <tuple>

#include "base/log.h"

namespace furnace::policy {
namespace {

// The program chooses the paths: what is remembered of them must not grow without end.
constexpr size_t kMostRemembered = 10'000;

}  // namespace

CallSupervisor::Observer log_violations(const std::string& who, bool audit) {
  return [prefix = who.empty() ? who : who + ": ", audit,
          told = std::set<std::tuple<Level, uint32_t, std::string>>()](const Decided& decided) mutable {
    if (decided.how != Decided::How::Violation) return;
    if (!audit) {
      log::error("{}violation: {}", prefix, describe(decided));
    } else if (told.size() < kMostRemembered &&
               told.emplace(decided.level, decided.number, decided.path).second) {
      log::warning("{}audit: {}", prefix, describe(decided));
    }
  };
}

}  // namespace furnace::policy
