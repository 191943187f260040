// Shell completion, made from the options themselves.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace furnace::cli {

/// A completion script for "bash" or "zsh": subcommands, options and VM names.
[[nodiscard]] std::string completion_script(const CLI::App& app, const std::string& shell);

}  // namespace furnace::cli
