#include "guest/profile/rekall.h"

#include "base/bytes.h"
#include "fuzz.h"

FUZZ(rekall) {
  if (auto parts =
          furnace::guest::parse_rekall(furnace::guest::PaddedText(std::string(furnace::as_text(input)))))
    (void)(*std::move(parts)).build();
}
