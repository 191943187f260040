// Policies: what is read can be written and read again, and compiles.
#include "base/bytes.h"
#include "fuzz.h"
#include "sandbox/policy/filter.h"
#include "sandbox/policy/policy_parser.h"
#include "sandbox/policy/policy_text.h"

FUZZ(policy) {
  using namespace furnace;
  const policy::ReadFile none = [](const std::filesystem::path&) -> Result<std::string> {
    return fail(Errc::NotFound, "no files");
  };
  const auto parsed = policy::parse_policy(furnace::as_text(input), "fuzz", none);
  if (!parsed) return;
  (void)policy::compile(parsed->policy);
  const auto again = policy::parse_policy(policy::to_text(parsed->policy), "again", none);
  if (!again || policy::statements(again->policy) != policy::statements(parsed->policy)) __builtin_trap();
}
