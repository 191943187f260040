#include "guest/profile/isf.h"

#include "base/bytes.h"
#include "fuzz.h"

FUZZ(isf) {
  if (auto parts =
          furnace::guest::parse_isf(furnace::guest::PaddedText(std::string(furnace::as_text(input)))))
    (void)(*std::move(parts)).build();
}
