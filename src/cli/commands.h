// The command line of `furnace`: each command adds itself, with its options and its action, in its own file.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>

#include "base/result.h"
#include "command_line/program.h"

namespace furnace::cli {

/// What a command prints.
enum class Output : uint8_t {
  Answer,  ///< its answer, which a log would disturb: only warnings and errors are logged
  Log,
};

class Commands {
 public:
  Commands();

  /// Adds `furnace NAME`. What its options set must live as long as its action: a shared pointer that the
  /// action captures.
  [[nodiscard]] CLI::App* add(const std::string& name, const std::string& summary);
  /// Adds `furnace NAME`, which needs a command of its own.
  [[nodiscard]] CLI::App* add_group(const std::string& name, const std::string& summary);

  /// Runs `action` if the command is given: a function that returns Status, or Result<int> with the exit
  /// code.
  template <typename Action>
  void on(CLI::App* command, Action action, Output output = Output::Answer) {
    command->callback([this, action = std::move(action), output] {
      program_.be_quiet(output == Output::Answer);
      action_ = [action]() -> Result<int> {
        if constexpr (std::is_same_v<std::invoke_result_t<Action>, Status>) {
          FURNACE_CHECK(action());
          return 0;
        } else {
          return action();
        }
      };
    });
  }

  [[nodiscard]] const CLI::App& root() { return program_.options(); }

  /// The command line's exit code.
  int run(int argc, char** argv);

 private:
  Program program_;
  std::function<Result<int>()> action_;
};

}  // namespace furnace::cli
