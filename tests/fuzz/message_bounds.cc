#include "protocol/message_bounds.h"

#include <cstdlib>

#include "base/bytes.h"
#include "fuzz.h"

// A body of a peer: what passes the walk over its wire form is small when it is parsed, whatever it says.
FUZZ(message_bounds) {
  using namespace furnace;
  const std::string_view body = as_text(input);
  constexpr size_t per_field = 200, most_fields = 80'000;
  const auto check = [&](auto message) {
    const auto flaw = protocol::parse(body, message);
    if (flaw == protocol::Flaw::None &&
        message.SpaceUsedLong() >
            sizeof message + 4 * body.size() + per_field * std::min(most_fields, body.size()))
      std::abort();
    (void)to_text(flaw);
  };
  check(wire::VmiMessage());
  check(facilities::FacMessage());
  check(facilities::BeMsg());
}
