#include "cli/vm/vm.h"

#include "base/printable.h"
#include "cli/vm/snapshot.h"
#include "cli/vm/test_vm.h"
#include "command_line/bounded_option.h"

namespace furnace::cli {
namespace {

Status list(bool names_only) {
  const auto vms = list_vms();
  if (names_only) {
    for (const auto& vm : vms) fmt::print("{}\n", printable(vm.name));
    return {};
  }
  if (vms.empty()) {
    fmt::print("no VM runs here; start one: furnace vm start NAME\n");
    return {};
  }
  fmt::print("{:<24} {:>8}  {:<8} {}\n", "NAME", "PID", "STATE", "STARTED BY");
  for (const auto& vm : vms)
    fmt::print("{} {:>8}  {:<8} {}\n", padded(vm.name, 24), vm.pid, vm.state, vm.ours ? "furnace" : "others");
  return {};
}

}  // namespace

void add_vm(Commands& commands) {
  auto* vm = commands.add_group("vm", "Test VMs: a real Linux guest under QEMU");
  const auto options = std::make_shared<VmOptions>();
  const auto names_only = std::make_shared<bool>(false);
  auto* start = vm->add_subcommand("start", "Start a test VM and wait until it is up");
  start->add_option("NAME", options->name, "Its name")->required();
  start->add_option("--kernel", options->kernel,
                    "Kernel image (vmlinuz); default: Debian's cloud kernel, fetched and cached");
  start->add_option("--kernel-package", options->kernel_package, "Debian kernel package to fetch");
  start->add_option("--initrd", options->initrd, "Initial RAM file system; default: a small busybox system");
  start->add_option("--memory", options->memory_mb, "Memory in MB")
      ->check(within({64, 1 << 20, "MB"}))
      ->capture_default_str();
  start->add_option("--cpus", options->cpus, "Number of vCPUs")
      ->check(within({1, 64}))
      ->capture_default_str();
  start->add_option("--accel", options->accel, "auto, kvm or tcg")
      ->check(CLI::IsMember({"auto", "kvm", "tcg"}))
      ->capture_default_str();
  start->add_option("--append", options->append, "Text to append to the kernel's command line");
  start->add_option("--wait", options->wait_seconds, "Seconds to wait until the guest is up; 0: don't wait")
      ->check(within({0, 86'400, "s"}))
      ->capture_default_str();
  commands.on(start, [options] { return start_vm(*options); });
  auto* stop = vm->add_subcommand("stop", "Stop a test VM and remove its files");
  stop->add_option("VM", options->name, "Its name")->required();
  commands.on(stop, [options] { return stop_vm(options->name); });
  add_snapshot(commands, vm);
  auto* list_command = vm->add_subcommand("list", "List the VMs on this host");
  list_command->add_flag("--names", *names_only, "Only names, one per line");
  commands.on(list_command, [names_only] { return list(*names_only); });
  auto* console = vm->add_subcommand("console", "Connect to a test VM's serial console (Ctrl-] disconnects)");
  console->add_option("VM", options->name, "Its name")->required();
  commands.on(console, [options] { return attach_console(options->name); });
}

}  // namespace furnace::cli
