// Limits of a partition: control groups, version 2 or 1 (Documentation/admin-guide/cgroup-v2.rst,
// cgroup-v1/).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace furnace::sandbox {

/// wire.md section 5: two CPUs, 30 processes and threads, 300 MB.
struct Limits {
  uint32_t cpu_percent = 200;  ///< of one CPU
  uint32_t processes = 30;     ///< threads count as well
  uint64_t memory_mb = 300;    ///< swap is none of it: none is used
};

struct Usage {
  uint64_t cpu_us = 0;
  uint64_t memory = 0;       ///< bytes
  uint64_t memory_most = 0;  ///< ever, where the kernel says
  uint64_t memory_limit = 0;
  uint64_t processes = 0, process_limit = 0;
  uint64_t oom_kills = 0;      ///< processes ended for want of memory
  uint64_t fork_failures = 0;  ///< forks that the limit refused
};

/// Where this host mounts what is needed.
struct Hierarchies {
  bool unified = false;  ///< version 2
  std::map<std::string, std::filesystem::path, std::less<>>
      mounts;  ///< by controller; of version 2 all the same

  /// Of the text of /proc/self/mounts; `has` returns which of the three controllers version 2 has at a mount.
  /// The error names what is missing.
  using Controllers = std::string (*)(const std::filesystem::path&);
  [[nodiscard]] static Result<Hierarchies> of(std::string_view mounts, Controllers unified_controllers);
  [[nodiscard]] static Result<Hierarchies> of_host();
};

/// A named control group below "furnace". It stays when the object goes: groups outlive commands.
class Cgroup {
 public:
  /// Makes it, or gives the one there is other limits. Names: A-Z a-z 0-9 . _ - and at most 64 of them.
  [[nodiscard]] static Result<Cgroup> make(const Hierarchies& hierarchies, std::string_view name,
                                           const Limits& limits);
  /// Makes one that limits nothing but CPU, apart from those of partitions: below "furnace-launchers".
  /// Without a number it only counts. The hierarchies are those of CPU.
  [[nodiscard]] static Result<Cgroup> make_for_launcher(const Hierarchies& hierarchies, std::string_view name,
                                                        std::optional<uint32_t> cpu_percent);
  [[nodiscard]] static Result<Cgroup> open(const Hierarchies& hierarchies, std::string_view name);
  [[nodiscard]] static std::vector<std::string> list(const Hierarchies& hierarchies);

  [[nodiscard]] Status set(const Limits& limits) const;
  /// The limit of CPU in percent of one, if there is one.
  [[nodiscard]] std::optional<uint32_t> cpu_percent() const;
  /// Moves a process into it, with what it forks from then on.
  [[nodiscard]] Status add(pid_t process) const;
  [[nodiscard]] std::vector<pid_t> processes() const;
  [[nodiscard]] Usage usage() const;
  /// Ends every process in it; returns when there is none.
  [[nodiscard]] Status kill() const;
  /// Ends what is in it and removes it.
  [[nodiscard]] Status remove() const;

 private:
  Cgroup(const Hierarchies& hierarchies, std::string_view parent, std::string_view name)
      : hierarchies_(hierarchies), parent_(parent), name_(name) {}
  [[nodiscard]] Status make_directories() const;
  [[nodiscard]] Status set_cpu(uint32_t percent) const;
  [[nodiscard]] std::filesystem::path directory(std::string_view controller) const;
  [[nodiscard]] std::vector<std::filesystem::path> directories() const;
  [[nodiscard]] Status write(std::string_view controller, std::string_view file,
                             std::string_view value) const;
  [[nodiscard]] uint64_t number(std::string_view controller, std::string_view file,
                                std::string_view key = {}) const;

  Hierarchies hierarchies_;
  std::string parent_, name_;
};

}  // namespace furnace::sandbox
