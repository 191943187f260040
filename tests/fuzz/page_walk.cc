#include "fuzz.h"
#include "guest/address_space.h"
#include "hypervisor/simulator/memory.h"

// The input is the guest's memory; its first 8 bytes are the address, the next byte the number of levels.
FUZZ(page_walk) {
  if (input.size() < 9) return;
  using namespace furnace::guest;
  furnace::hypervisor::SimulatedMemory memory(input.size());
  (void)memory.write(Gpa{0}, input);
  const Gva address{memory.read<uint64_t>(Gpa{0}).value_or(0)};
  TranslationCache cache;
  const AddressSpace space(memory, cache, {Gpa{0}, (std::to_integer<int>(input[8]) & 1) != 0 ? 5 : 4});
  std::array<std::byte, 10'000> buffer{};
  (void)space.read(address, buffer);
  (void)space.read_string(address, 4096);
  (void)space.why_unreadable(address, 64);
}
