#include "protocol/certificate.h"

#include "base/bytes.h"
#include "fuzz.h"

void fuzz(std::span<const std::byte> input) {
  (void)furnace::protocol::parse_certificate(furnace::as_text(input), "fuzz");
}
