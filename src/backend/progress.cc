#include "backend/progress.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cinttypes>
#include <cstdio>

#include "base/directory.h"
#include "base/log.h"

namespace furnace::backend {
namespace {

constexpr size_t kMaxApps = 10'000;
constexpr size_t kFields = 4;
constexpr size_t kRecord = 17 * kFields;  // 16 digits and a blank or the end of the line each

}  // namespace

Verdict judge(const AppProgress& progress, const facilities::BeMsg& message) {
  if (message.outbox() != progress.outbox)
    return message.number() == message.first() ? Verdict::Deliver : Verdict::TooEarly;
  if (message.number() <= progress.number) return Verdict::Known;
  if (message.number() <= progress.taken) return Verdict::InWork;
  // What is missing before `first` was acknowledged by someone: another backend, or this one before its files
  // were lost.
  const uint64_t next = std::max(progress.number, progress.taken) + 1;
  return message.number() == std::max(next, message.first()) ? Verdict::Deliver : Verdict::TooEarly;
}

Result<Progress> Progress::open(const std::filesystem::path& directory) {
  FURNACE_TRY(const Directory made, Directory::make(directory, Care::Content));
  if (::access(directory.c_str(), W_OK) != 0) return fail_errno("{}", directory.string());
  Progress progress;
  progress.directory_ = made.path();
  return progress;
}

void Progress::load(const std::string& app, Kept& kept) const {
  if (directory_.empty() || app.starts_with('.')) return;
  auto file = open_file(directory_ / app, O_RDWR | O_CREAT, 0600);
  if (!file)
    return log::warning("{}: durable messages may come twice after a restart", file.error().message());
  kept.file = *std::move(file);
  std::array<char, kRecord + 1> text{};
  const ssize_t got = ::pread(kept.file.get(), text.data(), kRecord, 0);
  AppProgress& progress = kept.progress;
  if (got == 0) return;  // new
  const int fields =
      std::sscanf(text.data(), "%16" SCNx64 " %16" SCNx64 " %16" SCNx64 " %16" SCNx64, &progress.outbox,
                  &progress.number, &progress.received.run, &progress.received.sequence);
  if (fields == kFields) return;
  log::warning("{}: damaged; durable messages of app {} may come twice", (directory_ / app).string(), app);
  progress = {};
}

AppProgress* Progress::of(const std::string& app) {
  auto found = apps_.find(app);
  if (found == apps_.end()) {
    if (apps_.size() >= kMaxApps) return nullptr;
    found = apps_.emplace(app, Kept{}).first;
    load(app, found->second);
  }
  return &found->second.progress;
}

void Progress::save(const std::string& app) {
  const auto found = apps_.find(app);
  if (found == apps_.end() || !found->second.file.valid()) return;
  const AppProgress& progress = found->second.progress;
  // Always as long: one write into the page cache, which a kill can't halve.
  const std::string record = fmt::format("{:016x} {:016x} {:016x} {:016x}\n", progress.outbox,
                                         progress.number, progress.received.run, progress.received.sequence);
  if (::pwrite(found->second.file.get(), record.data(), record.size(), 0) !=
      static_cast<ssize_t>(record.size()))
    log::warning("progress of app {}: {}", app, errno_text(errno));
}

}  // namespace furnace::backend
