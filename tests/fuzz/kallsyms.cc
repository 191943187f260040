#include "guest/profile/kallsyms.h"

#include "fuzz.h"

FUZZ(kallsyms) {
  // The first two bytes place the signature, so that the fuzzer can move it.
  if (input.size() < 2) return;
  const size_t at = std::to_integer<size_t>(input[0]) | std::to_integer<size_t>(input[1]) << 8;
  (void)furnace::guest::has_token_table(input.subspan(2), at);
  (void)furnace::guest::parse_kallsyms(input.subspan(2), at);
}
