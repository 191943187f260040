#include "guest/profile/profile_file.h"

#include <functional>

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
    // Begins with the rare '$', not with the quote in front of it, which is everywhere.
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

/// A file's content, whose reader says what it is called.
using Content = std::function<Result<std::string>()>;

/// Copied, not mapped: a tenant may write the file while it is parsed.
Result<PaddedText> unpacked(const Content& read, const std::string& name) {
  FURNACE_TRY(std::string content, read());
  if (auto unpacked = decompress(content, kMaxFile); !unpacked) return fail(unpacked.error(), name);
  return PaddedText(std::move(content));
}

/// The types of a file that is given beside symbols.
Result<std::vector<std::byte>> read_types(const Content& read, const std::string& name) {
  FURNACE_TRY(const PaddedText text, unpacked(read, name));
  auto parts = parse(text);
  if (!parts) return fail(parts.error(), name);
  if (parts->types.empty()) return fail(Errc::Invalid, "{}: holds no BTF types", name);
  return std::move(parts->types);
}

/// `types` is empty if there are none beside the text.
Result<std::shared_ptr<const Profile>> make_profile(const PaddedText& text, const Content& types,
                                                    const std::string& types_name) {
  const auto content = as_bytes(text.view());
  if (Profile::is_image(content)) return Profile::from_image({content.begin(), content.end()});
  FURNACE_TRY(ProfileParts parts, parse(text));
  if (types) {
    FURNACE_TRY(parts.types, read_types(types, types_name));
  }
  return std::move(parts).build();
}

Result<std::shared_ptr<const Profile>> load(const Content& file, const std::string& name,
                                            const Content& types, const std::string& types_name) {
  const LargePageHeap heap;
  FURNACE_TRY(const PaddedText text, unpacked(file, name));
  auto profile = make_profile(text, types, types_name);
  if (!profile) return fail(profile.error(), name);
  return profile;
}

Content content_of(const std::filesystem::path& file) {
  return file.empty() ? Content() : [&file] { return read_file(file, kMaxFile); };
}

Content content_of(const Fd& file, const std::string& name) {
  if (!file.valid()) return {};
  return [&file, &name]() -> Result<std::string> {
    auto content = read_descriptor(file, kMaxFile);
    if (!content) return fail(content.error(), name);
    return content;
  };
}

}  // namespace

Result<std::shared_ptr<const Profile>> load_profile(const std::filesystem::path& file,
                                                    const std::filesystem::path& types) {
  return load([&file] { return read_file(file, kMaxFile); }, file.string(), content_of(types),
              types.string());
}

Result<std::shared_ptr<const Profile>> load_profile(const Fd& file, const std::string& name, const Fd& types,
                                                    const std::string& types_name) {
  return load(content_of(file, name), name, content_of(types, types_name), types_name);
}

Result<std::shared_ptr<const Profile>> parse_profile(std::string_view text, std::string_view name) {
  const LargePageHeap heap;
  auto profile = make_profile(PaddedText(std::string(text)), {}, {});
  if (!profile) return fail(profile.error(), std::string(name));
  return profile;
}

}  // namespace furnace::guest
