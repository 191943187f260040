#include "base/bytes.h"
#include "fuzz.h"
#include "proxy/route.h"

void fuzz(std::span<const std::byte> input) {
  (void)furnace::proxy::parse_routes(furnace::as_text(input), "routes.toml");
  (void)furnace::proxy::parse_endpoint(furnace::as_text(input));
}
