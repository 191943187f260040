// furnace ps: the processes of a VM, seen from outside.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "guest/linux/tasks.h"

namespace furnace::cli {

void add_ps(Commands& commands);

/// A process with what is in its own memory; nothing where that is swapped out or unmapped.
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
