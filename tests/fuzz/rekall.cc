#include "guest/profile/rekall.h"

#include "base/bytes.h"
#include "fuzz.h"

void fuzz(std::span<const std::byte> input) {
  std::string text(furnace::as_text(input));
  if (auto parts = furnace::guest::parse_rekall(text)) (void)(*std::move(parts)).build();
}
