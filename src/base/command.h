// Other programs run by ours: their output, and whether they are there.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace furnace {

/// Returns where `program` is on the PATH; empty if nowhere.
[[nodiscard]] std::filesystem::path find_program(std::string_view program);

/// Runs a program to its end in `directory` (empty: here) and returns what it printed on its standard output.
/// The error of one that fails holds the end of what it printed on its standard error. It ends with us, and
/// is ended when a signal interrupts us.
[[nodiscard]] Result<std::string> run(const std::vector<std::string>& command,
                                      const std::filesystem::path& directory = {});

/// Becomes another program of ours, which is beside this one or on the PATH. `arguments`: its name as it
/// shows it, and what follows. Returns only if that fails.
[[nodiscard]] Status become(const std::string& program, std::vector<std::string> arguments);

/// Of what waitpid(2) says: as shells do, 128 and the signal's number if a signal ended it.
[[nodiscard]] int exit_code_of(int wait_status);

}  // namespace furnace
