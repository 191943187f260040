#include "reader/reader.h"

#include <unistd.h>

#include <chrono>
#include <optional>

#include "base/file.h"
#include "base/log.h"
#include "command_line/program.h"
#include "guest/linux/tasks.h"
#include "guest/profile/export.h"
#include "guest/profile/profile_file.h"
#include "hypervisor/drivers.h"
#include "hypervisor/simulator/simulator.h"
#include "hypervisor/snapshot/snapshot.h"
#include "hypervisor/snapshot/writer.h"
#include "reader/profiles.h"
#include "reader/report.h"
#include "reader/structures.h"

namespace furnace::reader {
namespace {

using guest::Profile;
using ProfilePointer = std::shared_ptr<const Profile>;
using std::chrono::steady_clock;

Fd copy_of(int descriptor) {
  return Fd(::dup(descriptor));
}

Result<std::unique_ptr<hypervisor::Hypervisor>> simulator(const Options& options) {
  constexpr size_t limit = 16 << 20;
  const auto text = read_descriptor(Fd(options.file), limit);
  if (!text) return fail(text.error(), options.vm);
  FURNACE_TRY(const auto guest, hypervisor::parse_guest(*text, options.vm));
  FURNACE_TRY(auto made, hypervisor::Simulator::make(guest));
  return made;
}

Result<std::unique_ptr<hypervisor::Hypervisor>> open_vm(const Options& options) {
  if (options.driver == "simulator") return simulator(options);
  if (options.driver == "snapshot")
    return hypervisor::Snapshot::open(Fd(options.file), options.vm, Fd(options.scratch));
  FURNACE_TRY(const std::string text, read_descriptor(Fd(options.handles)));
  FURNACE_TRY(const hypervisor::Driver* const driver, hypervisor::find_driver(options.vm, options.driver));
  if (driver->borrow == nullptr) return fail(Errc::Invalid, "driver '{}' lends nothing", options.driver);
  return driver->borrow(text);
}

class Reading {
 public:
  explicit Reading(const Options& options)
      : options_(options), report_(Fd(options.result)), profiles_(options.profiles, report_) {}

  Status run() {
    // The rights of the start end before anything is parsed, if they can.
    if (!options_.forks) establish();
    const Status done = do_task();
    if (!done)
      FURNACE_CHECK(report_.add(
          {RecordKind::Failed, {static_cast<uint64_t>(done.error().code())}, {done.error().message()}}));
    FURNACE_CHECK(report_.add({RecordKind::Done, {}, {}}));
    return report_.flush();
  }

 private:
  Status do_task() {
    if (options_.task == "processes") return list_processes();
    if (options_.task == "find") return find_kernel();
    if (options_.task == "show") return show_profile();
    if (options_.task == "export") return export_profile();
    if (options_.task == "snapshot") return write_snapshot();
    return fail(Errc::Invalid, "no task '{}'", options_.task);
  }

  Status open() {
    FURNACE_TRY(vm_, open_vm(options_));
    if (options_.forks) establish();
    return {};
  }

  Status find_kernel_of_vm() {
    FURNACE_CHECK(open());
    kernel_ = vm_->kernel();
    if (kernel_) return {};
    FURNACE_TRY(const auto registers, vm_->registers(0));
    std::optional<guest::PagingState> paging;
    if (registers) paging = registers->paging();
    FURNACE_TRY(kernel_, guest::locate_kernel(vm_->memory(), paging, &profiles_));
    log::debug("kernel: {}, text at {:#x} (physical {:#x}), {}-level paging", kernel_->profile().banner(),
               kernel_->placement().text.value, kernel_->placement().text_gpa.value,
               kernel_->placement().table.levels);
    return {};
  }

  Status list_processes() {
    FURNACE_CHECK(find_kernel_of_vm());
    guest::TranslationCache translations;
    FURNACE_TRY(const auto linux_guest, guest::LinuxGuest::make(*kernel_, vm_->memory(), translations));
    FURNACE_TRY(const auto list, linux_guest.processes());
    if (!list.gap.empty()) FURNACE_CHECK(report_.add({RecordKind::Gap, {}, {list.gap}}));
    for (const guest::Process& each : list.processes) {
      Record record{RecordKind::Process,
                    {each.task.value, static_cast<uint32_t>(each.pid), static_cast<uint32_t>(each.ppid),
                     each.uid, static_cast<uint64_t>(each.kernel_thread),
                     uint64_t{each.unread} << kUnreadShift, static_cast<uint64_t>(each.state)},
                    {each.name, {}, {}, each.problem}};
      // From the process's own memory: what is swapped out or unmapped is left out.
      if (options_.details && (each.unread & guest::kMemoryUnread) == 0) {
        const auto add = [&](const Result<std::string>& text, size_t place, uint64_t bit) {
          if (!text) return;
          record.texts[place] = *text;
          record.numbers[5] |= bit;
        };
        add(linux_guest.executable(each), 1, kHasExecutable);
        add(linux_guest.command_line(each), 2, kHasCommandLine);
      }
      FURNACE_CHECK(report_.add(std::move(record)));
    }
    return {};
  }

  Status find_kernel() {
    const auto start = steady_clock::now();
    FURNACE_CHECK(find_kernel_of_vm());
    const auto took =
        std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - start).count();
    const guest::Placement& place = kernel_->placement();
    const Profile& profile = kernel_->profile();
    return report_.add({RecordKind::Kernel,
                        {place.text.value, place.text_gpa.value, place.table.root.value,
                         static_cast<uint64_t>(place.table.levels), profile.symbol_count(),
                         profile.types().type_count(), static_cast<uint64_t>(took)},
                        {std::string(profile.banner())}});
  }

  Result<ProfilePointer> kernels_profile() {
    FURNACE_CHECK(find_kernel_of_vm());
    return kernel_->shared_profile();
  }

  /// A file that is a profile, or what a VM runs. A snapshot is a file too: tried last.
  Result<ProfilePointer> open_profile() {
    if (!options_.profile) return kernels_profile();
    auto profile =
        guest::load_profile(copy_of(options_.file), options_.vm,
                            options_.types < 0 ? Fd() : copy_of(options_.types), options_.types_name);
    if (profile || ::lseek(options_.file, 0, SEEK_SET) < 0) return profile;
    auto kernels = kernels_profile();
    return kernels ? kernels : profile;
  }

  Status show_profile() {
    FURNACE_TRY(const ProfilePointer profile, open_profile());
    for (const std::string& thing : options_.things) FURNACE_CHECK(report_thing(report_, *profile, thing));
    if (!options_.things.empty()) return {};
    return report_.add(
        {RecordKind::Summary,
         {profile->symbol_count(), profile->types().type_count(), profile->types().structure_names().size()},
         {std::string(profile->banner())}});
  }

  Status export_profile() {
    const auto format = guest::profile_format(options_.format);
    if (!format) return fail(Errc::Invalid, "no format '{}'", options_.format);
    FURNACE_TRY(const ProfilePointer profile, open_profile());
    FURNACE_TRY(const std::string text, guest::export_profile(*profile, *format));
    return report_.add_pieces(RecordKind::Text, text);
  }

  Status write_snapshot() {
    FURNACE_CHECK(open());
    const hypervisor::SnapshotOptions options{
        options_.format == "raw" ? hypervisor::SnapshotFormat::Raw : hypervisor::SnapshotFormat::ElfCore,
        options_.zstd};
    uint64_t copied = 0;
    FURNACE_TRY(
        const uint64_t size,
        hypervisor::write_snapshot(*vm_, Fd(options_.output), options_.output_name, options,
                                   [&](uint64_t done, uint64_t total) -> Status {
                                     copied = done;
                                     FURNACE_CHECK(report_.add({RecordKind::Progress, {done, total}, {}}));
                                     return report_.flush();
                                   }));
    return report_.add({RecordKind::Written, {copied, size}, {vm_->name()}});
  }

  const Options& options_;
  Report report_;
  LentProfiles profiles_;
  std::unique_ptr<hypervisor::Hypervisor> vm_;
  std::optional<guest::Kernel> kernel_;
};

}  // namespace

Status run(const Options& options) {
  return Reading(options).run();
}

}  // namespace furnace::reader
