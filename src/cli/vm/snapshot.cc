#include "cli/vm/snapshot.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "base/fd.h"
#include "base/printable.h"
#include "base/signals.h"
#include "cli/walls.h"
#include "hypervisor/snapshot/snapshot_file.h"
#include "launch/reading.h"

namespace furnace::cli {
namespace {

struct SnapshotCommand {
  std::string vm, file;
  std::string format = "elf";  ///< elf or raw
  bool zstd = false;
  bool unconfined = false;  ///< without the walls around what looks into the guest
};

using reader::Record;
using reader::RecordKind;

/// A bar that fits an 80-column terminal, redrawn ten times a second.
class ProgressBar {
 public:
  ~ProgressBar() {
    if (drawn_) std::fputs("\r\x1b[K", stderr);
  }
  void show(uint64_t done, uint64_t total) {
    const auto now = std::chrono::steady_clock::now();
    if (!terminal_ || total == 0 || done > total || now < next_) return;
    next_ = now + std::chrono::milliseconds(100);
    constexpr int width = 40;
    const double part = static_cast<double>(done) / static_cast<double>(total);
    const std::string bar(static_cast<size_t>(part * width), '#');
    fmt::print(stderr, "\r[{:<40}] {:>3} % of {} MB", bar, static_cast<int>(part * 100), total >> 20);
    std::fflush(stderr);
    drawn_ = true;
  }

 private:
  bool terminal_ = ::isatty(STDERR_FILENO) != 0;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point next_{};
};

/// Bytes that the file may have: what a guest does with its reader must not fill the disk. What surrounds the
/// memory, and what compression may add to it, is far less than this.
uint64_t most_of_file(const launch::Reading& reading) {
  constexpr uint64_t more = 64 << 20;
  const auto end = reading.memory_end();
  return end ? *end + *end / 64 + more : UINT64_MAX;
}

/// Shows progress where standard error is a terminal. A signal interrupts it, and leaves no file.
Status snapshot_vm(const SnapshotCommand& command) {
  launch::Reading reading("snapshot", {RecordKind::Progress, RecordKind::Written}, command.unconfined);
  FURNACE_CHECK(reading.add_vm(command.vm));
  FURNACE_TRY(const Fd stop, stop_signals());  // what is half written is removed
  const auto start = std::chrono::steady_clock::now();
  FURNACE_TRY(auto file, hypervisor::SnapshotFile::create(command.file));
  Fd lent(::fcntl(file.descriptor().get(), F_DUPFD_CLOEXEC, 0));  // NOLINT: variadic
  if (!lent.valid()) return fail_errno("{}", command.file);
  reading.lend("--output", std::move(lent));
  reading.allow_writing(most_of_file(reading));
  reading.add_arguments({"--output-name=" + command.file, "--format", command.format});
  if (command.zstd) reading.add_arguments({"--zstd"});
  Record written;
  {
    ProgressBar bar;
    const Status done = reading.run(
        [&](Record record) -> Status {
          if (record.kind == RecordKind::Progress) bar.show(record.numbers[0], record.numbers[1]);
          if (record.kind == RecordKind::Written) written = std::move(record);
          return {};
        },
        stop);
    if (!done && done.error().code() == Errc::Interrupted)
      return fail(done.error(), fmt::format("{} was not written", command.file));
    FURNACE_CHECK(done);
  }
  if (written.numbers.empty()) return fail(Errc::Failed, "{} was not written", command.file);
  const auto [copied, size] = std::pair(written.numbers[0], written.numbers[1]);
  if (size > most_of_file(reading))
    return fail(Errc::Failed, "{} was not written: its reader says that it has {} bytes", command.file, size);
  FURNACE_CHECK(file.finish(size));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  fmt::print("{}: {} of '{}', {} MB of memory in a file of {} MB, {:.1f} s\n", command.file,
             command.format == "raw" ? "raw memory" : "ELF core", printable(written.texts[0]), copied >> 20,
             size >> 20, took.count());
  return {};
}

}  // namespace

void add_snapshot(Commands& commands, CLI::App* vm) {
  auto* snapshot =
      vm->add_subcommand("snapshot", "Write a VM's memory to a file; the VM is paused while it is copied");
  const auto options = std::make_shared<SnapshotCommand>();
  snapshot->add_option("VM", options->vm, "The VM's name")->required();
  snapshot->add_option("FILE", options->file, "File to write; it appears when it is complete")->required();
  snapshot->add_option("--format", options->format, "elf (ELF core, with registers) or raw")
      ->check(CLI::IsMember({"elf", "raw"}))
      ->capture_default_str();
  snapshot->add_flag("--zstd", options->zstd, "Compress, in a form that Furnace reads without unpacking");
  add_unconfined(snapshot, options->unconfined);
  commands.on(snapshot, [options] { return snapshot_vm(*options); });
}

}  // namespace furnace::cli
