// The structures of the simulated kernel: names and members as in Linux 6.1, offsets of its own.
#pragma once

#include <cstdint>
#include <vector>

namespace furnace::hypervisor {

/// Their BTF blob. Every `seed` moves members about, so that no code relies on an offset.
[[nodiscard]] std::vector<std::byte> simulated_types(uint64_t seed);

}  // namespace furnace::hypervisor
