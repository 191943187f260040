#include "vmi/profile_store.h"

#include <array>
#include <fstream>

#include "base/bytes.h"
#include "base/directories.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/log.h"

namespace furnace::vmi {
namespace {

/// FNV-1a; a collision costs a comparison of banners, nothing else.
uint64_t hash(std::string_view text) {
  uint64_t value = 0xcbf29ce484222325;
  for (const char c : text) value = (value ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return value;
}

}  // namespace

std::filesystem::path ProfileStore::default_directory() {
  return cache_directory() / "profiles";
}

std::filesystem::path ProfileStore::file(std::string_view banner) const {
  return directory_ / fmt::format("{:016x}.profile", hash(banner));
}

std::shared_ptr<const guest::Profile> ProfileStore::find(
    const std::function<bool(const guest::ProfileSummary&)>& matches) {
  std::error_code ignored;
  // What others could put there is not believed.
  if (!Directory::open(directory_, Care::Content)) return nullptr;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, ignored)) {
    if (entry.path().extension() != ".profile") continue;
    std::array<std::byte, guest::kSummarySize> start{};
    std::ifstream(entry.path(), std::ios::binary).read(reinterpret_cast<char*>(start.data()), start.size());
    const auto summary = guest::summarize(start);
    if (!summary || !matches(*summary)) continue;
    auto profile = guest::Profile::from_file(entry.path());
    if (profile) return *std::move(profile);
    log::warning("cached profile ignored: {}", profile.error().message());
  }
  return nullptr;
}

void ProfileStore::store(const guest::Profile& profile) {
  const auto directory = Directory::make(directory_, Care::Content);
  const Status written = directory ? write_file(file(profile.banner()), as_text(profile.image()))
                                   : Status(tl::unexpected<Error>(directory.error()));
  if (!written) log::warning("profile not cached: {}", written.error().message());
}

}  // namespace furnace::vmi
