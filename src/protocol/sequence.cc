#include "protocol/sequence.h"

#include <random>

namespace furnace::protocol {

uint64_t random_number() {
  std::random_device device;
  return (uint64_t{device()} << 32 | device()) | 1;
}

}  // namespace furnace::protocol
