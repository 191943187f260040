#include "base/bytes.h"
#include "fuzz.h"
#include "hypervisor/simulator/description.h"

void fuzz(std::span<const std::byte> input) {
  (void)furnace::hypervisor::parse_guest(furnace::as_text(input), "fuzz.toml");
}
