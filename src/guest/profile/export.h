// Profiles written for other tools: Volatility 3 (ISF), DRAKVUF and LibVMI (Rekall JSON), and as System.map
// text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "guest/profile/profile.h"

namespace furnace::guest {

/// Formats by their names on the command line: isf, rekall, system-map, btf, furnace.
enum class ProfileFormat { Isf, Rekall, SystemMap, Btf, Furnace };
[[nodiscard]] std::optional<ProfileFormat> profile_format(std::string_view name);

/// The file's content. Addresses are those the kernel was linked at: readers work KASLR out themselves.
/// Members of anonymous structures stand in the structure around them, where these formats' readers look for
/// them.
[[nodiscard]] Result<std::string> export_profile(const Profile& profile, ProfileFormat format);

/// Where x86-64 kernels are linked: __START_KERNEL_map + CONFIG_PHYSICAL_START (arch/x86/Kconfig).
inline constexpr uint64_t kLinkedText = 0xffffffff81000000;
/// A symbol's address as linked.
[[nodiscard]] inline uint64_t linked_address(const SymbolValue& symbol) {
  return symbol.relative ? kLinkedText + symbol.value : symbol.value;
}

}  // namespace furnace::guest
