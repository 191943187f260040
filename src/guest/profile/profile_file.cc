#include "guest/profile/profile_file.h"

#include "base/bytes.h"
#include "base/compression.h"
#include "base/file.h"
#include "guest/profile/isf.h"
#include "guest/profile/rekall.h"
#include "guest/profile/system_map.h"
#include "guest/profile/vmlinux.h"

namespace furnace::guest {
namespace {

using namespace std::string_view_literals;

constexpr size_t kMaxFile = 1 << 30;
constexpr std::string_view kElf = "\x7f"
                                  "ELF";
constexpr std::string_view kBtf = "\x9f\xeb\x01";

ProfileParts types_alone(std::string_view content) {
  const auto bytes = as_bytes(content);
  return {{}, {bytes.begin(), bytes.end()}, {}};
}

Result<ProfileParts> parse(std::string_view content) {
  if (content.starts_with(kElf)) return parse_vmlinux(as_bytes(content));
  if (content.starts_with(kBtf)) return types_alone(content);
  const size_t first = content.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && content[first] == '{') {
    // Which of both a key in front tells; it needs no parsing.
    const bool rekall = content.find("\"$STRUCTS\""sv) != std::string_view::npos ||
                        content.find("\"$CONSTANTS\""sv) != std::string_view::npos;
    return rekall ? parse_rekall(content) : parse_isf(content);
  }
  if (looks_like_system_map(content)) return parse_system_map(content);
  constexpr size_t setup_header = 0x202;  // Documentation/x86/boot.rst
  if (content.size() > setup_header + 4 && content.substr(setup_header, 4) == "HdrS")
    return fail(Errc::Invalid, "a compressed kernel image; what is needed is the vmlinux inside it");
  return fail(Errc::Invalid,
              "no form of a profile: expected Rekall or Volatility JSON, System.map text, BTF, or a vmlinux");
}

Result<ProfileParts> parse_file(const std::filesystem::path& file) {
  FURNACE_TRY(std::string packed, read_file(file, kMaxFile));
  auto content = decompress(std::move(packed), kMaxFile);
  if (!content) return fail(content.error(), file.string());
  auto parts = parse(*content);
  if (!parts) return fail(parts.error(), file.string());
  return parts;
}

}  // namespace

Result<std::shared_ptr<const Profile>> load_profile(const std::filesystem::path& file,
                                                    const std::filesystem::path& types) {
  // Our own form is mapped, not read.
  if (auto own = Profile::from_file(file); own || own.error().code() == Errc::NotFound) return own;
  FURNACE_TRY(ProfileParts parts, parse_file(file));
  if (!types.empty()) {
    FURNACE_TRY(parts.types, parse_file(types).map([](ProfileParts given) { return std::move(given.types); }));
    if (parts.types.empty()) return fail(Errc::Invalid, "{}: holds no BTF types", types.string());
  }
  auto profile = parts.build();
  if (!profile) return fail(profile.error(), file.string());
  return profile;
}

}  // namespace furnace::guest
