// Policies: what is read can be written and read again, and compiles.
#include "base/bytes.h"
#include "fuzz.h"
#include "inspector/filter.h"
#include "inspector/policy_parser.h"
#include "inspector/policy_text.h"

FUZZ(policy) {
  using namespace furnace;
  const inspector::ReadFile none = [](const std::filesystem::path&) -> Result<std::string> {
    return fail(Errc::NotFound, "no files");
  };
  const auto parsed = inspector::parse_policy(furnace::as_text(input), "fuzz", none);
  if (!parsed) return;
  (void)inspector::compile(parsed->policy);
  const auto again = inspector::parse_policy(inspector::to_text(parsed->policy), "again", none);
  if (!again || inspector::statements(again->policy) != inspector::statements(parsed->policy))
    __builtin_trap();
}
