#include "protocol/certificate.h"

#include "base/bytes.h"
#include "fuzz.h"

FUZZ(certificate) {
  (void)furnace::protocol::parse_certificate(furnace::as_text(input), "fuzz");
}
