#include "guest/profile/profile_file.h"

#include "base/bytes.h"
#include "base/compression.h"
#include "base/file.h"
#include "base/large_page_heap.h"
#include "guest/profile/isf.h"
#include "guest/profile/rekall.h"
#include "guest/profile/system_map.h"
#include "guest/profile/vmlinux.h"

namespace furnace::guest {
namespace {

using namespace std::string_view_literals;

constexpr size_t kMaxFile = 512 << 20;
constexpr uint32_t kElf = 0x464c457f;  // "\x7fELF"
constexpr uint32_t kBtf = 0x0001eb9f;  // magic, version 1, no flags

ProfileParts types_alone(std::string_view content) {
  const auto bytes = as_bytes(content);
  return {{}, {bytes.begin(), bytes.end()}, {}};
}

Result<ProfileParts> parse(const PaddedText& text) {
  const std::string_view content = text.view();
  const uint32_t magic = load<uint32_t>(as_bytes(content), 0).value_or(0);
  if (magic == kElf) return parse_vmlinux(as_bytes(content));
  if (magic == kBtf) return types_alone(content);
  const size_t first = content.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && content[first] == '{') {
    // Begins with the rare '$', not with the quote in front of it, which stands everywhere.
    const bool rekall = content.find("$CONSTANTS\""sv) != std::string_view::npos;
    return rekall ? parse_rekall(text) : parse_isf(text);
  }
  if (looks_like_system_map(content)) return parse_system_map(content);
  constexpr size_t setup_header = 0x202;  // Documentation/x86/boot.rst
  if (content.size() > setup_header + 4 && content.substr(setup_header, 4) == "HdrS")
    return fail(Errc::Invalid, "a compressed kernel image; what is needed is the vmlinux inside it");
  return fail(Errc::Invalid,
              "no form of a profile: expected Rekall or Volatility JSON, System.map text, BTF, or a vmlinux");
}

/// Copied, not mapped: a tenant may write the file while it is parsed.
Result<PaddedText> read_text(const std::filesystem::path& file) {
  FURNACE_TRY(std::string content, read_file(file, kMaxFile));
  if (auto unpacked = decompress(content, kMaxFile); !unpacked) return fail(unpacked.error(), file.string());
  return PaddedText(std::move(content));
}

/// The types of a file that is given beside symbols.
Result<std::vector<std::byte>> read_types(const std::filesystem::path& file) {
  FURNACE_TRY(const PaddedText text, read_text(file));
  auto parts = parse(text);
  if (!parts) return fail(parts.error(), file.string());
  if (parts->types.empty()) return fail(Errc::Invalid, "{}: holds no BTF types", file.string());
  return std::move(parts->types);
}

Result<std::shared_ptr<const Profile>> make_profile(const PaddedText& text,
                                                    const std::filesystem::path& types) {
  const auto content = as_bytes(text.view());
  if (Profile::is_image(content)) return Profile::from_image({content.begin(), content.end()});
  FURNACE_TRY(ProfileParts parts, parse(text));
  if (!types.empty()) {
    FURNACE_TRY(parts.types, read_types(types));
  }
  return std::move(parts).build();
}

}  // namespace

Result<std::shared_ptr<const Profile>> load_profile(const std::filesystem::path& file,
                                                    const std::filesystem::path& types) {
  const LargePageHeap heap;
  FURNACE_TRY(const PaddedText text, read_text(file));
  auto profile = make_profile(text, types);
  if (!profile) return fail(profile.error(), file.string());
  return profile;
}

Result<std::shared_ptr<const Profile>> parse_profile(std::string_view text, std::string_view name) {
  const LargePageHeap heap;
  auto profile = make_profile(PaddedText(std::string(text)), {});
  if (!profile) return fail(profile.error(), std::string(name));
  return profile;
}

}  // namespace furnace::guest
