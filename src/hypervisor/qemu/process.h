// Finding QEMU processes on this host and reading what their command lines say.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace furnace::hypervisor {

struct QemuProcess {
  pid_t pid = 0;
  std::string name;                                ///< of -name, or of -name guest=
  std::vector<std::filesystem::path> qmp_sockets;  ///< UNIX sockets in QMP mode, in the order given
  bool libvirt_only = false;                       ///< the only QMP socket is the one libvirt holds
  std::vector<std::string> arguments;
};

/// What a QEMU command line says. nullopt if it isn't one of a system emulator.
[[nodiscard]] std::optional<QemuProcess> parse_qemu_command_line(pid_t pid,
                                                                 const std::vector<std::string>& arguments);

/// The QEMU processes of this host that we may read and whose word is taken (trust.h). Why others are not
/// is said in `refused`, by name.
[[nodiscard]] std::vector<QemuProcess> list_qemu_processes(
    std::vector<std::pair<QemuProcess, Error>>* refused = nullptr);

/// The one whose -name is `name`. Errors tell which names there are, of two with one name, and of one whose
/// word is not taken.
[[nodiscard]] Result<QemuProcess> find_qemu_process(const std::string& name);

}  // namespace furnace::hypervisor
