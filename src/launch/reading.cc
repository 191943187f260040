#include "launch/reading.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>

#include "base/directories.h"
#include "base/file.h"
#include "base/log.h"
#include "base/printable.h"
#include "base/signals.h"
#include "hypervisor/drivers.h"
#include "hypervisor/snapshot/layout.h"
#include "launch/reader_process.h"
#include "sandbox/helper.h"
#include "sandbox/view.h"

namespace furnace::launch {

using reader::Record;
using reader::RecordKind;

namespace {

/// A reader that reports nothing for so long is killed: a search of a large snapshot takes less.
constexpr std::chrono::minutes kSilence(10);

/// Waits until a broker has let the guest and its socket go, which it does when its reader has ended.
void wait_for_end(const Fd& broker) {
  constexpr int most = 5000;
  pollfd item{broker.get(), POLLIN, 0};
  if (broker.valid()) ::poll(&item, 1, most);
}

}  // namespace

Reading::Reading(std::string task, std::vector<RecordKind> expected, bool unconfined)
    : arguments_{std::move(task)}, expected_(std::move(expected)), unconfined_(unconfined) {
  expected_.push_back(RecordKind::Profile);
  if (log::enabled(log::Level::Debug)) arguments_.emplace_back("--debug");
  if (log::format() == log::Format::Json) add_arguments({"--log-format", "json"});
}

void Reading::add_arguments(std::initializer_list<std::string> arguments) {
  arguments_.insert(arguments_.end(), arguments);
}

void Reading::lend(const std::string& option, Fd descriptor) {
  add_arguments({option, std::to_string(descriptor.get())});
  handles_.push_back(std::move(descriptor));
}

Status Reading::borrow_vm(const std::string& vm, const hypervisor::Driver& driver) {
  FURNACE_TRY(const auto confine, sandbox::confine_helper(installed_directory("policies") / "broker.policy"));
  FURNACE_TRY(auto lent,
              driver.lend(vm, {hypervisor::RamAccess::Read, confine, hypervisor::broker::Borrower::Reader}));
  broker_ = std::move(lent.ended);
  memory_end_ = lent.memory_end;
  for (Fd& each : lent.descriptors) handles_.push_back(std::move(each));
  if (auto names = sandbox::memory_file(lent.text)) lend("--handles", *std::move(names));
  return {};
}

Status Reading::prepare_for_kdump(const Fd& file) {
  forks_ = true;
  add_arguments({"--forks"});
  FURNACE_TRY(Fd scratch, temporary_file());
  lend("--scratch", std::move(scratch));
  struct stat status {};
  // What is in the snapshot, in another order; between its parts there may be holes.
  constexpr uint64_t holes = 256 << 20;
  if (::fstat(file.get(), &status) == 0)
    file_size_ = std::max(file_size_, static_cast<uint64_t>(status.st_size) + holes);
  return {};
}

void Reading::lend_profiles(const std::string& vm) {
  profiles_.emplace(vmi::ProfileStore::of_vm(vm));
  std::vector<int> numbers;
  for (Fd& file : profiles_->files()) {
    numbers.push_back(file.get());
    handles_.push_back(std::move(file));
  }
  if (!numbers.empty()) add_arguments({"--profiles", fmt::format("{}", fmt::join(numbers, ","))});
}

Status Reading::add_vm(const std::string& vm) {
  vm_ = vm;
  FURNACE_TRY(const hypervisor::Driver* const driver, hypervisor::find_driver(vm));
  if (driver->lend == nullptr) return add_file(vm);
  FURNACE_CHECK(borrow_vm(vm, *driver));
  add_arguments({fmt::format("--driver={}", driver->name), "--vm=" + vm});
  lend_profiles(vm);
  return {};
}

Status Reading::add_file(const std::string& path) {
  vm_ = path;
  FURNACE_TRY(Fd file, open_to_read(path));
  const bool snapshot = !path.ends_with(".toml");
  std::array<char, hypervisor::kKdumpStart> start{};
  (void)!::pread(file.get(), start.data(), start.size(), 0);
  if (snapshot && hypervisor::is_kdump(std::string_view(start.data(), start.size())))
    FURNACE_CHECK(prepare_for_kdump(file));
  lend("--file", std::move(file));
  add_arguments({snapshot ? "--driver=snapshot" : "--driver=simulator", "--vm=" + path});
  std::error_code ignored;
  lend_profiles(std::filesystem::absolute(path, ignored).string());
  return {};
}

Status Reading::add_profile_or_vm(const std::string& file, const std::string& types) {
  FURNACE_CHECK(add_file(file));
  add_arguments({"--profile"});
  if (types.empty()) return {};
  FURNACE_TRY(Fd opened, open_to_read(types));
  lend("--types", std::move(opened));
  add_arguments({"--types-name=" + types});
  return {};
}

Status Reading::run(const std::function<Status(Record)>& take, const Fd& stop) {
  FURNACE_TRY(auto report, make_pipe());
  lend("--result", std::move(report.writing));
  FURNACE_TRY(ReaderProcess process, ReaderProcess::start({vm_, std::move(arguments_), std::move(handles_),
                                                           file_size_, forks_, unconfined_}));
  const auto whole = receive(report.reading, stop, take);
  const Status ended = process.end(whole.has_value());
  wait_for_end(broker_);
  if (!whole) return tl::unexpected<Error>(whole.error());
  if (failure_) return tl::unexpected<Error>(*failure_);
  FURNACE_CHECK(ended);
  if (!*whole) return fail(Errc::Failed, "VM '{}': its reader exited before its report was complete", vm_);
  if (profiles_ && !profile_.empty()) profiles_->store_image(profile_);
  return {};
}

Result<bool> Reading::receive(const Fd& pipe, const Fd& stop, const std::function<Status(Record)>& take) {
  reader::Decoder decoder(expected_);
  std::vector<char> piece(reader::kPiece);
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(kSilence).count();
  for (;;) {
    std::array<pollfd, 2> items{pollfd{pipe.get(), POLLIN, 0}, pollfd{stop.get(), POLLIN, 0}};
    const int ready = ::poll(items.data(), items.size(), static_cast<int>(milliseconds));
    FURNACE_CHECK(check_interrupted());
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0)
      return fail(Errc::Failed, "VM '{}': its reader reported nothing for {} minutes", vm_, kSilence.count());
    const ssize_t got = ::read(pipe.get(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("the reader's report");
    if (got == 0) return decoder.done();
    Status taken;
    const Status decoded = decoder.take({piece.data(), static_cast<size_t>(got)}, [&](Record record) {
      return taken = take_record(std::move(record), take);
    });
    FURNACE_CHECK(taken);
    if (!decoded)
      return fail(Errc::Failed, "VM '{}': its reader's report is refused: {}", vm_,
                  decoded.error().message());
  }
}

Status Reading::take_record(Record record, const std::function<Status(Record)>& take) {
  switch (record.kind) {
    case RecordKind::Done:
      return {};
    case RecordKind::Profile:
      profile_ += record.texts[0];
      return {};
    case RecordKind::Failed: {
      const bool known = record.numbers[0] <= static_cast<uint64_t>(Errc::Busy) &&
                         record.numbers[0] != static_cast<uint64_t>(Errc::Interrupted);
      failure_.emplace(known ? static_cast<Errc>(record.numbers[0]) : Errc::Failed,
                       printable_lines(record.texts[0]));
      return {};
    }
    default:
      return take(std::move(record));
  }
}

}  // namespace furnace::launch
