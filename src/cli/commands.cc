#include "cli/commands.h"

#include "base/signals.h"

namespace furnace::cli {

Commands::Commands()
    : program_("furnace",
               "Virtual machine introspection for tenants: run apps that watch a VM from outside") {
  CLI::App& app = program_.options();
  app.set_version_flag("--version", FURNACE_VERSION);
  app.require_subcommand(1);
  app.fallthrough();  // the options of the program are valid after a command, too
  app.failure_message(CLI::FailureMessage::simple);
}

CLI::App* Commands::add(const std::string& name, const std::string& summary) {
  return program_.options().add_subcommand(name, summary);
}

CLI::App* Commands::add_group(const std::string& name, const std::string& summary) {
  CLI::App* const group = add(name, summary);
  group->require_subcommand(1);
  return group;
}

int Commands::run(int argc, char** argv) {
  int exit_code = 0;
  const int status = program_.run(argc, argv, [&]() -> Status {
    exit_at_signals();
    FURNACE_TRY(exit_code, action_());
    return {};
  });
  return status != 0 ? status : exit_code;
}

}  // namespace furnace::cli
