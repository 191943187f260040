#include "cli/vm/test_vm.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <regex>
#include <thread>

#include "base/command.h"
#include "base/directories.h"
#include "base/directory.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/signals.h"
#include "cli/vm/initramfs.h"
#include "cli/vm/kernel_package.h"
#include "cli/vm/kvm_probe.h"
#include "hypervisor/qemu/process.h"
#include "hypervisor/qemu/qmp.h"

namespace furnace::cli {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr const char* kQemu = "qemu-system-x86_64";

uint64_t free_bytes(const fs::path& directory) {
  struct statvfs info {};
  return ::statvfs(directory.c_str(), &info) == 0 ? uint64_t{info.f_bavail} * info.f_frsize : 0;
}

constexpr const char* kSharedMemory = "/dev/shm";

/// Makes an empty RAM file for QEMU to fill, which no other user can read, and returns its path: in the VM's
/// directory, or in /dev/shm with a link to it where the directory's file system is small.
Result<fs::path> make_ram(const VmPlace& place, uint64_t bytes) {
  std::error_code ignored;
  fs::remove(place.ram(), ignored);  // of a QEMU that did not start
  if (free_bytes(place.directory) > bytes) {
    FURNACE_CHECK(open_file(place.ram(), O_RDWR | O_CREAT | O_EXCL, 0600));
    return place.ram();
  }
  if (free_bytes(kSharedMemory) <= bytes)
    return fail(Errc::Unavailable,
                "no room for {} MB of guest RAM in {} or /dev/shm; set FURNACE_RUN to a directory with room",
                bytes >> 20, place.directory.string());
  // All users share that directory: no other user can guess the name, and the file is new.
  std::string shared = fmt::format("{}/furnace-ram-XXXXXX", kSharedMemory);
  const Fd made(::mkostemp(shared.data(), O_CLOEXEC));
  if (!made.valid()) return fail_errno("{}", shared);
  fs::create_symlink(shared, place.ram(), ignored);
  return shared;
}

/// The run directory is ours, so it holds only what we have put there; the file in /dev/shm is checked.
void remove_place(const VmPlace& place) {
  std::error_code ignored;
  if (fs::is_symlink(place.ram(), ignored)) {
    const fs::path shared = fs::read_symlink(place.ram(), ignored);
    struct stat status {};
    if (shared.parent_path() == kSharedMemory && ::lstat(shared.c_str(), &status) == 0 &&
        S_ISREG(status.st_mode) && status.st_uid == ::geteuid())
      fs::remove(shared, ignored);
  }
  fs::remove_all(place.directory, ignored);
}

/// Returns the place, if no other user can have put something there. NotFound: there is no run directory.
Result<VmPlace> own_place(const std::string& name) {
  FURNACE_TRY(VmPlace place, place_of(name));
  const auto run = Directory::open(run_directory() / "vm", Care::Content);
  if (!run) return fail(run.error(), fmt::format("VM '{}'", name));
  if (run->owner() != ::geteuid())
    return fail(Errc::Denied, "{} belongs to another user; set FURNACE_RUN to a directory of yours",
                run_directory().string());
  return place;
}

// QEMU 7.2 computes the flags that cmpxchg16b leaves from a stale state: a vCPU that is stopped right after
// it resumes with others (direction, trap, ...), and the guest dies. Kernels do without where it isn't there.
constexpr const char* kEmulatedCpu = "max,-cx16";

std::vector<std::string> qemu_command(const VmOptions& options, const VmPlace& place, const fs::path& kernel,
                                      const fs::path& initrd, const fs::path& ram, const std::string& accel) {
  return {
      kQemu,
      "-name",
      options.name,
      "-machine",
      fmt::format("q35,accel={},memory-backend=mem", accel),
      "-cpu",
      accel == "kvm" ? "host" : kEmulatedCpu,
      "-smp",
      std::to_string(options.cpus),
      "-m",
      fmt::format("{}M", options.memory_mb),
      "-object",
      fmt::format("memory-backend-file,id=mem,size={}M,mem-path={},share=on", options.memory_mb,
                  ram.string()),
      "-kernel",
      kernel.string(),
      "-initrd",
      initrd.string(),
      "-append",
      fmt::format("console=ttyS0 quiet {}", options.append),
      "-nodefaults",
      "-display",
      "none",
      "-daemonize",
      "-pidfile",
      (place.directory / "pid").string(),
      "-chardev",
      fmt::format("socket,id=console,path={},server=on,wait=off,logfile={}", place.console().string(),
                  place.console_log().string()),
      "-serial",
      "chardev:console",
      "-qmp",
      fmt::format("unix:{},server=on,wait=off", place.qmp().string()),
      "-qmp",
      fmt::format("unix:{},server=on,wait=off", place.second_qmp().string()),
  };
}

Result<std::string> choose_accel(const std::string& wanted) {
  if (wanted == "tcg") return wanted;
  const Status usable = kvm_usable();
  if (usable) return std::string("kvm");
  if (wanted == "kvm") return fail(usable.error(), "KVM");
  return std::string("tcg");
}

/// Errc::Interrupted if a signal comes first.
Status wait_until_ready(const VmPlace& place, unsigned seconds, const Fd& stop) {
  const auto start = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - start < std::chrono::seconds(seconds)) {
    const auto log = read_file(place.console_log(), 16 << 20);
    if (log && log->find(kGuestReady) != std::string::npos) {
      fmt::print("VM '{}' is up after {:.1f} s\n", place.name,
                 std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      return {};
    }
    pollfd item{stop.get(), POLLIN, 0};
    constexpr int between_looks = 50;
    ::poll(&item, 1, between_looks);
    FURNACE_CHECK(check_interrupted());
  }
  return fail(Errc::Unavailable, "VM '{}' is not up after {} s; it continues to boot, see {}", place.name,
              seconds, place.console_log().string());
}

std::optional<hypervisor::QemuProcess> running(const VmPlace& place) {
  for (auto& process : hypervisor::list_qemu_processes())
    if (process.name == place.name && std::find(process.qmp_sockets.begin(), process.qmp_sockets.end(),
                                                place.qmp()) != process.qmp_sockets.end())
      return std::move(process);
  return std::nullopt;
}

}  // namespace

Result<VmPlace> place_of(const std::string& name) {
  static const std::regex good("[A-Za-z0-9_.-]{1,32}");
  if (!std::regex_match(name, good) || name.starts_with('.'))
    return fail(Errc::Invalid, "VM name '{}': expected 1 to 32 letters, digits, '-', '_' or '.'", name);
  return VmPlace{name, run_directory() / "vm" / name};
}

Status start_vm(const VmOptions& options) {
  FURNACE_TRY(const Fd stop, stop_signals());
  FURNACE_CHECK(place_of(options.name));
  if (find_program(kQemu).empty())
    return fail(Errc::NotFound, "{} is missing: install the package qemu-system-x86", kQemu);
  for (const auto& process : hypervisor::list_qemu_processes())
    if (process.name == options.name)
      return fail(Errc::Unavailable, "a QEMU with -name {} runs already (pid {})", options.name, process.pid);
  FURNACE_TRY(std::string accel, choose_accel(options.accel));
  fs::path kernel = options.kernel;
  if (kernel.empty()) {
    FURNACE_TRY(kernel, fetch_kernel(options.kernel_package));
  } else if (!fs::is_regular_file(kernel)) {
    return fail(Errc::NotFound, "kernel {}: no such file", kernel.string());
  }
  if (!options.initrd.empty() && !fs::is_regular_file(options.initrd))
    return fail(Errc::NotFound, "initrd {}: no such file", options.initrd);

  FURNACE_CHECK(make_run_directory("vm"));
  FURNACE_TRY(const VmPlace place, own_place(options.name));
  remove_place(place);  // of a VM that ended without us
  constexpr unsigned owners = 0700;
  FURNACE_CHECK(Directory::make(place.directory, Care::Content, owners));
  const Status started = [&]() -> Status {
    fs::path initrd =
        fs::absolute(options.initrd.empty() ? place.directory / "initramfs" : fs::path(options.initrd));
    if (options.initrd.empty()) {
      FURNACE_TRY(const std::string archive, make_initramfs());
      FURNACE_CHECK(write_file(initrd, archive));
    }
    FURNACE_TRY(const fs::path ram, make_ram(place, uint64_t{options.memory_mb} << 20));
    auto ran = run(qemu_command(options, place, fs::absolute(kernel), initrd, ram, accel));
    if (!ran && accel == "kvm" && options.accel != "kvm") {
      log::warning("{}; with TCG instead", ran.error().message());
      accel = "tcg";
      ran = run(qemu_command(options, place, fs::absolute(kernel), initrd, ram, accel));
    }
    if (!ran) return tl::unexpected<Error>(ran.error());
    return {};
  }();
  if (!started) {
    (void)stop_vm(options.name);  // QEMU may run already when a signal interrupts us
    return started;
  }
  fmt::print("VM '{}' started: {}, {} MB, {} vCPU{}, kernel {}\n", options.name,
             accel == "kvm" ? "KVM" : "TCG (software)", options.memory_mb, options.cpus,
             options.cpus == 1 ? "" : "s", kernel.filename().string());
  std::fflush(stdout);
  const bool waits = options.initrd.empty() && options.wait_seconds != 0;
  const Status up = waits ? wait_until_ready(place, options.wait_seconds, stop) : check_interrupted();
  if (!up && up.error().code() == Errc::Interrupted) (void)stop_vm(options.name);
  return up;
}

Status stop_vm(const std::string& name) {
  const auto found = own_place(name);
  if (!found && found.error().code() != Errc::NotFound) return tl::unexpected<Error>(found.error());
  const auto process = found ? running(*found) : std::nullopt;
  if (!process) {
    const bool leftover = found && fs::exists(found->directory);
    if (leftover) {
      remove_place(*found);
      return {};
    }
    FURNACE_TRY(const auto foreign, hypervisor::find_qemu_process(name));
    return fail(Errc::Denied,
                "VM '{}' (pid {}) was not started by 'furnace vm start': stop it where it was started", name,
                foreign.pid);
  }
  const VmPlace& place = *found;
  const HoldSignals until_its_files_are_gone;
  // SIGTERM stops QEMU in order, whichever process holds its QMP sockets.
  if (::kill(process->pid, SIGTERM) != 0) return fail_errno("VM '{}' (pid {})", name, process->pid);
  for (int i = 0; i < 200 && ::kill(process->pid, 0) == 0; ++i) {
    if (i == 100) ::kill(process->pid, SIGKILL);
    std::this_thread::sleep_for(20ms);
  }
  remove_place(place);
  return {};
}

std::vector<VmLine> list_vms() {
  std::vector<VmLine> lines;
  for (const auto& process : hypervisor::list_qemu_processes()) {
    if (process.name.empty()) continue;
    const auto place = place_of(process.name);
    const bool ours = place && running(*place);
    lines.push_back({process.name, "running", process.pid, ours});
    if (!ours) continue;
    auto qmp = hypervisor::Qmp::connect(place->second_qmp());
    const auto status = qmp ? qmp->command("query-status") : Result<std::string>("");
    if (status && status->find("\"running\":false") != std::string::npos) lines.back().state = "paused";
  }
  return lines;
}

Status attach_console(const std::string& name) {
  FURNACE_TRY(const Fd stop, stop_signals());
  FURNACE_TRY(const VmPlace place, own_place(name));
  auto socket = connect_unix(place.console());
  if (!socket)
    return fail(socket.error(),
                fmt::format("console of VM '{}' (is it running? see: furnace vm list)", name));
  termios before{};
  const bool terminal = ::tcgetattr(STDIN_FILENO, &before) == 0;
  if (terminal) {
    termios raw = before;
    ::cfmakeraw(&raw);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    fmt::print(stderr, "connected to VM '{}'; Ctrl-] ends\r\n", name);
  }
  constexpr char escape = 0x1d;
  bool input_open = true;
  for (bool open = true; open && check_interrupted();) {
    pollfd items[3] = {
        {socket->get(), POLLIN, 0}, {input_open ? STDIN_FILENO : -1, POLLIN, 0}, {stop.get(), POLLIN, 0}};
    if (::poll(items, 3, -1) < 0) {
      if (errno == EINTR) continue;
      break;
    }
    char piece[4096];
    if (items[0].revents != 0) {
      const ssize_t got = ::read(socket->get(), piece, sizeof piece);
      open = got > 0 && ::write(STDOUT_FILENO, piece, static_cast<size_t>(got)) == got;
    }
    if (items[1].revents != 0) {
      const ssize_t got = ::read(STDIN_FILENO, piece, sizeof piece);
      const std::string_view typed(piece, got > 0 ? static_cast<size_t>(got) : 0);
      if (got <= 0) input_open = false;
      if (terminal && typed.find(escape) != std::string_view::npos) break;
      if (!typed.empty() && ::write(socket->get(), typed.data(), typed.size()) < 0) break;
    }
    if (!input_open && items[0].revents == 0) {
      // Input at its end (a pipe): what the guest still answers within a second is shown.
      pollfd rest{socket->get(), POLLIN, 0};
      open = open && ::poll(&rest, 1, 1000) > 0;
    }
  }
  if (terminal) ::tcsetattr(STDIN_FILENO, TCSANOW, &before);
  return check_interrupted();
}

}  // namespace furnace::cli
