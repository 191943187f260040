#include "guest/profile/system_map.h"

#include "base/bytes.h"
#include "fuzz.h"

FUZZ(system_map) {
  (void)furnace::guest::looks_like_system_map(furnace::as_text(input));
  (void)furnace::guest::parse_system_map(furnace::as_text(input));
}
