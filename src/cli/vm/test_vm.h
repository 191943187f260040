// Test VMs: a real Linux guest under QEMU for the demo, tests and one's own first steps.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace furnace::cli {

struct VmOptions {
  std::string name;
  std::string kernel;          ///< file; empty: a package
  std::string kernel_package;  ///< empty: the newest cloud kernel
  std::string initrd;          ///< file; empty: our busybox
  unsigned memory_mb = 256;
  unsigned cpus = 1;
  std::string accel = "auto";
  std::string append;          ///< more for the kernel's command line
  unsigned wait_seconds = 60;  ///< for the guest to be up
};

/// A test VM's place: its sockets, RAM file and logs.
struct VmPlace {
  std::string name;
  std::filesystem::path directory;
  [[nodiscard]] std::filesystem::path qmp() const { return directory / "qmp"; }
  [[nodiscard]] std::filesystem::path second_qmp() const { return directory / "qmp2"; }
  [[nodiscard]] std::filesystem::path console() const { return directory / "console"; }
  [[nodiscard]] std::filesystem::path console_log() const { return directory / "console.log"; }
  [[nodiscard]] std::filesystem::path ram() const { return directory / "ram"; }
};

/// $FURNACE_RUN, else $XDG_RUNTIME_DIR/furnace, else /run/furnace for root, else /tmp/furnace-UID; +
/// "/vm/NAME".
[[nodiscard]] Result<VmPlace> place_of(const std::string& name);

[[nodiscard]] Status start_vm(const VmOptions& options);
[[nodiscard]] Status stop_vm(const std::string& name);
/// Connects the terminal with the VM's serial console; Ctrl-] ends it.
[[nodiscard]] Status attach_console(const std::string& name);

/// A line of `furnace vm list`.
struct VmLine {
  std::string name, state;
  int pid;
  bool ours;  ///< started by `furnace vm start`
};
[[nodiscard]] std::vector<VmLine> list_vms();

}  // namespace furnace::cli
