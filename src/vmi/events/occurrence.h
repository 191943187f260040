// What happened in the guest: an event of the driver, read as what an app asked for.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "vmi/events/event_types.h"

namespace furnace::vmi {

struct Occurrence {
  uint32_t vcpu = 0;
  /// Of the vCPU; those of user space for system calls.
  hypervisor::Registers registers;
  std::optional<guest::Process> process;  ///< the one that ran
  int32_t thread = 0;
  // F_EPT
  guest::Gva address;
  uint8_t access = 0;
  std::optional<uint64_t> old_value, new_value;
  // F_REG
  std::optional<uint64_t> old_cr3;
  // F_SYSCALL
  struct Argument {
    std::string_view name;
    uint64_t value;
    std::string path;
  };
  std::optional<uint32_t> syscall;
  bool is_return = false;
  int64_t return_value = 0;
  std::vector<Argument> arguments;
  // what it was about, if that is not the process that ran
  std::optional<guest::Process> subject;
  std::string text;
  // F_CREDENTIALS
  struct Credentials {
    uint32_t uid = 0, euid = 0;
    uint64_t capabilities = 0;
    auto operator<=>(const Credentials&) const = default;
  };
  std::optional<std::pair<Credentials, Credentials>> credentials;  ///< before, after
  std::optional<int32_t> exit_status;
  std::optional<hypervisor::KernelEvent> known;  ///< what the driver says of it
};

/// How an event of the driver came to be.
struct HowSeen {
  guest::Trace trace = guest::Trace::AddressSpaceSwitch;
  bool at_instruction = false;  ///< a breakpoint; else a watched write
  bool by_driver = false;       ///< the driver knows the kind itself: there is nothing left to read
};

}  // namespace furnace::vmi
