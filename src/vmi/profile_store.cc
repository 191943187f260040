#include "vmi/profile_store.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <fstream>

#include "base/bytes.h"
#include "base/directories.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/log.h"

namespace furnace::vmi {
namespace {

/// Kernels of one VM that are remembered: before and after an update, and some more.
constexpr size_t kMostOfVm = 4;

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
  write(profile.banner(), as_text(profile.image()));
}

void ProfileStore::write(std::string_view banner, std::string_view image) {
  const auto directory = Directory::make(directory_, Care::Content);
  const Status written =
      directory ? write_file(file(banner), image) : Status(tl::unexpected<Error>(directory.error()));
  if (!written) log::warning("profile not cached: {}", written.error().message());
}

ProfileStore ProfileStore::of_vm(std::string_view vm) {
  return ProfileStore(default_directory() / fmt::format("vm-{:016x}", hash(vm)));
}

std::vector<std::filesystem::path> ProfileStore::newest_first() const {
  std::error_code ignored;
  std::vector<std::pair<std::filesystem::file_time_type, std::filesystem::path>> found;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, ignored))
    if (entry.path().extension() == ".profile")
      found.emplace_back(entry.last_write_time(ignored), entry.path());
  std::sort(found.rbegin(), found.rend());
  std::vector<std::filesystem::path> files;
  for (auto& [time, path] : found) files.push_back(std::move(path));
  return files;
}

std::vector<Fd> ProfileStore::files() const {
  std::vector<Fd> open;
  // What others could put there is not believed.
  if (!Directory::open(directory_, Care::Content)) return open;
  for (const auto& path : newest_first())
    if (auto file = open_file(path, O_RDONLY | O_NOFOLLOW); file && open.size() < kMostOfVm)
      open.push_back(*std::move(file));
  return open;
}

void ProfileStore::store_image(std::string_view image) {
  const auto summary = guest::summarize(as_bytes(image.substr(0, guest::kSummarySize)));
  if (!summary || !summary->banner.starts_with("Linux version ")) {
    log::warning("profile not cached: it does not begin as one");
    return;
  }
  write(summary->banner, image);
  const auto files = newest_first();
  std::error_code ignored;
  for (size_t i = kMostOfVm; i < files.size(); ++i) std::filesystem::remove(files[i], ignored);
}

}  // namespace furnace::vmi
