// `furnace ps`: an operator's direct look at a VM's processes, without partitions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "guest/linux/tasks.h"

namespace furnace::cli {

enum class PsFormat { Table, Tree, Json, Long };

struct PsOptions {
  std::string vm;
  PsFormat format = PsFormat::Table;
  bool unconfined = false;  ///< without the walls around what looks into the guest
};

/// Prints the processes of a VM.
[[nodiscard]] Status print_processes(const PsOptions& options);

/// A process with what is in its own memory; nothing where that is swapped out or gone.
struct ListedProcess {
  guest::Process process;
  std::optional<std::string> executable, command_line;
};

/// The forms as text.
[[nodiscard]] std::string format_table(const std::vector<guest::Process>& processes);
[[nodiscard]] std::string format_tree(const std::vector<guest::Process>& processes);
[[nodiscard]] std::string format_json(const std::vector<guest::Process>& processes);
[[nodiscard]] std::string format_long(const std::vector<ListedProcess>& processes);

}  // namespace furnace::cli
