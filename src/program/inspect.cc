// furnace-inspect: runs a program under a system call policy.
#include "sandbox/policy/inspect.h"

#include "base/log.h"
#include "command_line/program.h"
#include "sandbox/policy/policy_parser.h"
#include "sandbox/policy/violation_log.h"

namespace {

using namespace furnace;

struct Options {
  std::string policy;
  std::vector<std::string> command;
  bool audit = false;
};

Status run(const Options& options, int& exit_code) {
  FURNACE_TRY(const policy::ParsedPolicy parsed, policy::load_policy(options.policy));
  for (const policy::Warning& warning : parsed.warnings)
    log::warning("{}: {}", warning.place.text(), warning.text);
  policy::CallSupervisor::Options supervision;
  supervision.audit = options.audit;
  supervision.observer = policy::log_violations({}, options.audit);
  FURNACE_TRY(const policy::Ended ended, policy::inspect(parsed.policy, options.command, supervision));
  exit_code = ended.exit_code;
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  int exit_code = 0;
  Program program("furnace-inspect", "Run a program under a system call policy");
  program.be_quiet();
  auto& flags = program.options();
  flags.add_option("--policy", options.policy, "The policy (docs/policies.md)")->required();
  flags.add_flag("--audit", options.audit, "Log what the policy doesn't allow, and allow it");
  flags.add_option("PROGRAM", options.command, "The program and its arguments, after --")->required();
  flags.positionals_at_end();
  const int status = program.run(argc, argv, [&] { return run(options, exit_code); });
  return status != 0 ? status : exit_code;
}
