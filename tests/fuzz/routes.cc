#include "base/bytes.h"
#include "fuzz.h"
#include "proxy/route.h"

FUZZ(routes) {
  (void)furnace::proxy::parse_routes(furnace::as_text(input), "routes.toml");
  (void)furnace::proxy::parse_endpoint(furnace::as_text(input));
}
