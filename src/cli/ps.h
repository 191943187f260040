// `furnace ps`: an operator's direct look at a VM's processes, without partitions.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "guest/linux/tasks.h"

namespace furnace::cli {

enum class PsFormat { Table, Tree, Json, Long };

/// Prints the processes of a VM.
[[nodiscard]] Status print_processes(const std::string& vm, PsFormat format);

/// The forms as text. The long one, with executable and command line, reads them from the guest too.
[[nodiscard]] std::string format_table(const std::vector<guest::Process>& processes);
[[nodiscard]] std::string format_tree(const std::vector<guest::Process>& processes);
[[nodiscard]] std::string format_json(const std::vector<guest::Process>& processes);
[[nodiscard]] std::string format_long(const guest::LinuxGuest& linux_guest,
                                      const std::vector<guest::Process>& processes);

}  // namespace furnace::cli
