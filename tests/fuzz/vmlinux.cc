#include "guest/profile/vmlinux.h"

#include "fuzz.h"

void fuzz(std::span<const std::byte> input) {
  (void)furnace::guest::parse_vmlinux(input);
}
