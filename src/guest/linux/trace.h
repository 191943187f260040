// Where a Linux kernel can be watched for what it does: no hook in it is needed.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "guest/linux/tasks.h"

namespace furnace::guest {

enum class Trace : uint8_t {
  AddressSpaceSwitch,  ///< CR3 was loaded with another root table
  SyscallEntry,
  SyscallExit,
  ProcessCreated,
  ProcessExecuted,
  ProcessExited,
  CredentialsChanged,
  ModuleLoaded,
};

/// A place to watch: an instruction that is reached (length 0), or memory that is written.
struct TracePoint {
  Gva address;
  uint64_t length = 0;
  /// Of memory: the places after the kernel's own instructions that write it for this reason.
  std::vector<Gva> after;
};

/// The places for one kind of trace. With `watched_writes` a variable of each CPU that is written exactly
/// then is preferred to a breakpoint (there is one for the kinds that happen thousands of times a second).
/// The error says which symbol the kernel lacks.
[[nodiscard]] Result<std::vector<TracePoint>> trace_points(const Kernel& kernel, const LinuxGuest& guest,
                                                           Trace what, uint32_t vcpus, bool watched_writes);

/// Which register points to the user's saved registers at a place of Trace::SyscallExit.
[[nodiscard]] std::string registers_at_exit(const Kernel& kernel, const LinuxGuest& guest, Gva at);

/// Whether data there may be watched by interrupting the instruction that touches it. Not where the processor
/// itself reads and writes while it delivers an interrupt, which would be lost: the descriptor tables and the
/// stacks of tasks, which are those of `processes`.
[[nodiscard]] Status check_watchable(const Kernel& kernel, const LinuxGuest& guest,
                                     std::span<const Process> processes, Gva address, uint64_t length);

/// Where the kernel's direct map of all memory has a physical address.
[[nodiscard]] Result<Gva> direct_map(const Kernel& kernel, const LinuxGuest& guest, Gpa address);

}  // namespace furnace::guest
