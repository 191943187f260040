#include "base/bytes.h"
#include "fuzz.h"
#include "hypervisor/simulator/description.h"

FUZZ(guest_description) {
  (void)furnace::hypervisor::parse_guest(furnace::as_text(input), "fuzz.toml");
}
