// Symbols and types out of a vmlinux: its .symtab (if it is not stripped) and its .BTF section.
#pragma once

#include <span>

#include "guest/profile/parts.h"

namespace furnace::guest {

/// Reads an ELF file of 64 bits for x86-64 in memory.
[[nodiscard]] Result<ProfileParts> parse_vmlinux(std::span<const std::byte> file);

}  // namespace furnace::guest
