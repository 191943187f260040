// A simulated guest as it is described in a TOML file (docs/simulator.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace furnace::hypervisor {

/// An IPv4 socket of a task.
struct SimulatedSocket {
  std::string protocol = "tcp";                           ///< tcp or udp
  std::string local = "0.0.0.0:0", remote = "0.0.0.0:0";  ///< address:port
  std::string state = "established";                      ///< of tcp: established, listen, close_wait, ...
};

/// A process of the simulated guest.
struct SimulatedTask {
  int32_t pid = 0;
  int32_t ppid = 0;
  uint32_t uid = 0;
  std::string name;
  bool kernel_thread = false;
  std::string command_line;        ///< arguments separated by NUL; in the process's own address space
  std::string executable;          ///< path, empty for none
  std::vector<std::string> files;  ///< paths of its open files, from descriptor 0 on
  std::vector<SimulatedSocket> sockets;
  bool hidden = false;  ///< in the pid tables, but not in the task list
};

struct SimulatedModule {
  std::string name;
  uint32_t size = 16384;
};

/// A variable of the kernel image.
struct SimulatedSymbol {
  std::string name;
  std::variant<uint64_t, std::string> value;
};

// What happens to the guest, by itself.
struct StartTask {
  SimulatedTask task;
};
struct ExitTask {
  int32_t pid;
};
struct HideTask {
  int32_t pid;
};
struct LoadModule {
  SimulatedModule module;
};
struct UnloadModule {
  std::string name;
};
struct WriteSymbol {
  std::string symbol;
  uint64_t value;
};
struct PatchText {
  std::string symbol;  ///< its first 8 bytes are overwritten
};
struct HookSyscall {
  uint32_t number;
  std::string symbol;  ///< where the table's entry points then
};
struct Reset {};
using Change = std::variant<StartTask, ExitTask, HideTask, LoadModule, UnloadModule, WriteSymbol, PatchText,
                            HookSyscall, Reset>;

/// What a task does that can be watched.
struct ScriptedEvent {
  std::string kind;  ///< syscall, cr3, int, mem, credentials
  int32_t pid = 0;
  uint32_t vcpu = 0;
  uint64_t number = 0;              ///< of a system call
  std::vector<uint64_t> arguments;  ///< rdi, rsi, rdx, r10, r8, r9
  std::string symbol;               ///< of int and mem: where
  uint64_t address = 0;             ///< the same as a number
  uint64_t value = 0;               ///< of mem: what is written; of credentials: the new user id
  bool returns = false;             ///< a system call that returns at once
  uint64_t result = 0;              ///< and what
};

/// Something at a time of the guest's own clock, which is paused with the guest.
struct TimelineEntry {
  double at = 0;       ///< seconds since the start
  double every = 0;    ///< repeated so often; 0: once
  uint64_t count = 1;  ///< how many times
  std::variant<Change, ScriptedEvent> what;
};

/// Ways in which a guest's memory is crafted against its reader.
enum class Hostility : uint8_t {
  CyclicTaskList,    ///< the list never comes back to its head
  SelfMappedTables,  ///< page tables that map themselves, level over level
  WildPointers,      ///< mm, files and parents point anywhere
  HugeArrays,        ///< counts and sizes of 2^40
  InvalidUtf8,       ///< names that are no text
};
[[nodiscard]] std::string_view hostility_name(Hostility hostility);

struct SimulatedGuest {
  std::string name = "simulator";
  uint64_t seed = 1;  ///< addresses and content that are not described follow from it
  uint64_t memory_mb = 32;
  int levels = 4;
  uint32_t vcpus = 1;
  bool kaslr = false;
  std::string banner = "Linux version 6.1.0-furnace-simulator (furnace@simulator) #1 SMP PREEMPT_DYNAMIC";
  std::vector<SimulatedTask> tasks;
  std::vector<SimulatedModule> modules;
  std::vector<SimulatedSymbol> symbols;
  std::vector<TimelineEntry> timeline;
  std::set<Hostility> hostile;
};

/// Reads a description. The error names the file, the line, and what is expected there.
[[nodiscard]] Result<SimulatedGuest> parse_guest(std::string_view toml, std::string_view file_name);
[[nodiscard]] Result<SimulatedGuest> load_guest(const std::filesystem::path& file);

/// The guest of `--driver simulator` without a file: a handful of tasks, modules and files.
[[nodiscard]] SimulatedGuest default_guest();

}  // namespace furnace::hypervisor
