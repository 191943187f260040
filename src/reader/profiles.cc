#include "reader/profiles.h"

#include <unistd.h>

#include <array>

#include "base/bytes.h"
#include "base/log.h"

namespace furnace::reader {

LentProfiles::LentProfiles(const std::vector<int>& files, Report& report) : report_(report) {
  for (const int file : files) files_.emplace_back(file);
}

std::shared_ptr<const guest::Profile> LentProfiles::find(
    const std::function<bool(const guest::ProfileSummary&)>& matches) {
  for (const Fd& file : files_) {
    std::array<std::byte, guest::kSummarySize> start{};
    if (::pread(file.get(), start.data(), start.size(), 0) < 0) continue;
    const auto summary = guest::summarize(start);
    if (!summary || !matches(*summary)) continue;
    auto profile = guest::Profile::from_descriptor(file);
    if (profile) return *std::move(profile);
    log::warning("cached profile ignored: {}", profile.error().message());
  }
  return nullptr;
}

void LentProfiles::store(const guest::Profile& profile) {
  if (auto told = report_.add_pieces(RecordKind::Profile, as_text(profile.image())); !told)
    log::debug("{}", told.error().message());
}

}  // namespace furnace::reader
