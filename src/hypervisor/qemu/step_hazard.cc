#include "hypervisor/qemu/step_hazard.h"

#include <algorithm>
#include <array>

namespace furnace::hypervisor {
namespace {

constexpr std::byte kLock{0xf0}, kRep{0xf3};

bool is_prefix(std::byte byte) {
  constexpr std::array<uint8_t, 11> prefixes{0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x3e,
                                             0x26, 0x64, 0x65, 0x66, 0x67};
  return std::find(prefixes.begin(), prefixes.end(), static_cast<uint8_t>(byte)) != prefixes.end();
}

/// Returns true for a ModRM byte whose operand is in memory (Intel SDM volume 2, section 2.1.3).
bool is_memory(std::byte modrm) {
  return (modrm >> 6) != std::byte{3};
}

}  // namespace

PassBy pass_by(std::span<const std::byte> code) {
  bool repeats = false;
  while (!code.empty() && is_prefix(code.front())) {
    if (code.front() == kLock) return PassBy::Run;
    repeats = repeats || code.front() == kRep;
    code = code.subspan(1);
  }
  constexpr std::byte rex_mask{0xf0}, rex{0x40};
  if (!code.empty() && (code.front() & rex_mask) == rex) code = code.subspan(1);
  if (code.size() < 3) return PassBy::Run;  // the rest of the page is not mapped, or nothing could be read

  const std::byte opcode = code[0];
  const bool exchanges = (opcode == std::byte{0x86} || opcode == std::byte{0x87}) && is_memory(code[1]);
  const bool pauses = repeats && opcode == std::byte{0x90};
  const bool halts = opcode == std::byte{0xf4};
  const bool waits = opcode == std::byte{0x0f} && code[1] == std::byte{0x01} && code[2] == std::byte{0xc9};
  return exchanges || pauses || halts || waits ? PassBy::Run : PassBy::Step;
}

}  // namespace furnace::hypervisor
