#include "cli/policy.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>

#include "base/file.h"
#include "base/printable.h"
#include "command_line/bounded_option.h"
#include "guest/linux/syscalls.h"
#include "sandbox/policy/constants.h"
#include "sandbox/policy/filter.h"
#include "sandbox/policy/learn.h"
#include "sandbox/policy/path_calls.h"
#include "sandbox/policy/policy_parser.h"
#include "sandbox/policy/policy_text.h"

namespace furnace::cli {
namespace {

struct PolicyOptions {
  std::string file, other;           ///< policies
  std::string call;                  ///< name of a system call
  std::string output;                ///< file to write; empty: printed
  std::vector<std::string> command;  ///< program and arguments
  size_t files = 8;                  ///< used from one directory, before all of it is allowed
};

using policy::Level;
using policy::ParsedPolicy;
using policy::PathCall;
using policy::Statement;
using policy::Verdict;

Result<ParsedPolicy> load(const std::string& file) {
  FURNACE_TRY(ParsedPolicy parsed, policy::load_policy(file));
  for (const auto& warning : parsed.warnings)
    fmt::print(stderr, "{}: warning: {}\n", warning.place.text(), printable_lines(warning.text));
  return parsed;
}

/// Both reach the same objects.
bool same_family(const std::string& a, const std::string& b) {
  const auto first = guest::syscall_number(a), second = guest::syscall_number(b);
  if (!first || !second) return false;
  const PathCall *one = policy::path_call(*first), *other = policy::path_call(*second);
  return one != nullptr && other != nullptr && one->family == other->family;
}

void print_verdict(Level level, const Verdict& verdict, const std::string& call) {
  std::string text;
  if (verdict.always) {
    text = "allowed";
  } else if (verdict.is_denied()) {
    text = "denied";
  } else {
    text = "allowed if";
    for (const auto& test : verdict.integers) {
      std::vector<std::string> conditions;
      conditions.reserve(test.size());
      for (const auto& each : test) conditions.push_back(policy::to_text(each, call));
      text += fmt::format("\n             {}", fmt::join(conditions, " and "));
    }
    for (const auto& test : verdict.paths)
      text += fmt::format("\n             {}", policy::to_text(test).substr(8));
  }
  if (!verdict.always)
    text += verdict.error_number
                ? fmt::format("{}gets {}", verdict.is_denied() ? ": " : "\n  otherwise  ",
                              policy::error_name(*verdict.error_number))
                : fmt::format("{}the partition ends", verdict.is_denied() ? ": " : "\n  otherwise  ");
  fmt::print("  level {}:   {}\n", static_cast<int>(level), printable_lines(text));
}

/// Runs the command with everything allowed, and writes the policy that it needs. Returns its exit code.
Result<int> learn_policy(const PolicyOptions& options) {
  int exit_code = 0;
  FURNACE_TRY(const policy::Lesson lesson, policy::learn(options.command, exit_code));
  const std::string text =
      fmt::format("# What this run did: {}\n{}", printable(fmt::to_string(fmt::join(options.command, " "))),
                  lesson.text(options.files));
  if (options.output.empty()) {
    std::fputs(text.c_str(), stdout);
  } else {
    FURNACE_CHECK(write_file(options.output, text));
  }
  return exit_code;
}

/// Prints warnings and what the policy comes to.
Status check_policy(const PolicyOptions& options) {
  FURNACE_TRY(const ParsedPolicy parsed, load(options.file));
  FURNACE_TRY(const auto filter, policy::compile(parsed.policy));
  for (const Level level : policy::kLevels) {
    size_t always = 0, tested = 0;
    for (const auto& [number, verdict] : parsed.policy.verdicts(level)) {
      always += verdict.always ? 1 : 0;
      tested += verdict.always || verdict.is_denied() ? 0 : 1;
    }
    fmt::print("level {}: {} system calls allowed, {} by their arguments\n", static_cast<int>(level), always,
               tested);
  }
  fmt::print("{} rules, {} warnings; a filter of {} instructions\n", parsed.rules.size(),
             parsed.warnings.size(), filter.size());
  return {};
}

/// Prints what `other` says and `file` doesn't (+), and the reverse (-). Returns 1 if they differ.
Result<int> compare_policies(const PolicyOptions& options) {
  FURNACE_TRY(const ParsedPolicy before, load(options.file));
  FURNACE_TRY(const ParsedPolicy after, load(options.other));
  const auto old_ones = policy::statements(before.policy), new_ones = policy::statements(after.policy);
  std::vector<std::pair<Statement, char>> all;
  for (const Statement& each : old_ones)
    if (!std::binary_search(new_ones.begin(), new_ones.end(), each)) all.emplace_back(each, '-');
  for (const Statement& each : new_ones)
    if (!std::binary_search(old_ones.begin(), old_ones.end(), each)) all.emplace_back(each, '+');
  std::sort(all.begin(), all.end());
  for (const auto& [statement, sign] : all)
    fmt::print("{} {}{}{}\n", sign, statement.rule, statement.test.empty() ? "" : "  ",
               printable_lines(statement.test));
  return all.empty() ? 0 : 1;
}

/// Prints what a policy says to one call, and by which rules.
Status explain_policy(const PolicyOptions& options) {
  const auto number = guest::syscall_number(options.call);
  if (!number) return fail(Errc::NotFound, "'{}' is no system call of x86-64", options.call);
  FURNACE_TRY(const ParsedPolicy parsed, load(options.file));
  fmt::print("{} ({})\n", options.call, *number);
  for (const Level level : policy::kLevels)
    print_verdict(level, parsed.policy.verdict(level, *number), options.call);
  for (const auto& rule : parsed.rules)
    if (rule.call == options.call || rule.call.starts_with('@') || same_family(rule.call, options.call))
      fmt::print("  {}: {}\n", rule.place.text(), printable_lines(rule.text));
  return {};
}

}  // namespace

void add_policy(Commands& commands) {
  auto* policies = commands.add_group("policy", "Make, check, compare and explain system call policies");
  const auto options = std::make_shared<PolicyOptions>();
  auto* learn = policies->add_subcommand(
      "learn", "Run a program with everything allowed, and write the policy that it needs");
  learn->add_option("PROGRAM", options->command, "The program and its arguments, after --")->required();
  learn->add_option("-o,--output", options->output, "File to write; default: print when the program exits");
  learn
      ->add_option("--files", options->files,
                   "Number of files used from one directory before the whole directory is allowed")
      ->check(within({1, 1'000'000}))
      ->capture_default_str();
  learn->positionals_at_end();
  commands.on(learn, [options] { return learn_policy(*options); });
  const auto with_file = [options](CLI::App* command) {
    command->add_option("FILE", options->file, "A policy")->required();
  };
  auto* check = policies->add_subcommand("check", "Report errors in a policy, and what it allows in total");
  with_file(check);
  commands.on(check, [options] { return check_policy(*options); });
  auto* diff = policies->add_subcommand("diff", "Compare what two policies mean; exit with 1 if they differ");
  with_file(diff);
  diff->add_option("OTHER", options->other, "Another policy")->required();
  commands.on(diff, [options] { return compare_policies(*options); });
  auto* explain =
      policies->add_subcommand("explain", "Show what a policy says about a system call, and by which rules");
  explain->add_option("CALL", options->call, "Name of the system call")->required();
  with_file(explain);
  commands.on(explain, [options] { return explain_policy(*options); });
}

}  // namespace furnace::cli
