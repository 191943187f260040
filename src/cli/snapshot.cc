#include "cli/snapshot.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>

#include "base/fd.h"
#include "base/signals.h"
#include "hypervisor/attach.h"
#include "hypervisor/snapshot/writer.h"

namespace furnace::cli {
namespace {

/// A bar that fits an 80-column terminal, redrawn ten times a second.
class ProgressBar {
 public:
  ~ProgressBar() {
    if (drawn_) std::fputs("\r\x1b[K", stderr);
  }
  void show(uint64_t done, uint64_t total) {
    const auto now = std::chrono::steady_clock::now();
    if (!terminal_ || total == 0 || now < next_) return;
    next_ = now + std::chrono::milliseconds(100);
    constexpr uint64_t width = 40;
    const std::string bar(done * width / total, '#');
    fmt::print(stderr, "\r[{:<40}] {:>3} % of {} MB", bar, done * 100 / total, total >> 20);
    std::fflush(stderr);
    drawn_ = true;
  }

 private:
  bool terminal_ = ::isatty(STDERR_FILENO) != 0;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point next_{};
};

}  // namespace

Status snapshot_vm(const SnapshotCommand& command) {
  FURNACE_TRY(const auto vm, hypervisor::attach(command.vm));
  FURNACE_TRY(const Fd stop, stop_signals());  // what is half written is removed
  const hypervisor::SnapshotOptions options{
      command.format == "raw" ? hypervisor::SnapshotFormat::Raw : hypervisor::SnapshotFormat::ElfCore,
      command.zstd};
  const auto start = std::chrono::steady_clock::now();
  uint64_t copied = 0;
  {
    ProgressBar bar;
    FURNACE_CHECK(
        hypervisor::write_snapshot(*vm, command.file, options, [&](uint64_t done, uint64_t total) -> Status {
          if (const Status goes_on = check_interrupted(); !goes_on)
            return fail(goes_on.error(), fmt::format("{} was not written", command.file));
          bar.show(done, total);
          copied = done;
          return {};
        }));
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::error_code ignored;
  fmt::print("{}: {} of '{}', {} MB of memory in a file of {} MB, {:.1f} s\n", command.file,
             command.format == "raw" ? "raw memory" : "ELF core", vm->name(), copied >> 20,
             std::filesystem::file_size(command.file, ignored) >> 20, took.count());
  return {};
}

}  // namespace furnace::cli
