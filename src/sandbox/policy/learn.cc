#include "sandbox/policy/learn.h"

#include <sys/syscall.h>

#include <algorithm>

#include "base/printable.h"
#include "guest/linux/syscalls.h"
#include "sandbox/policy/arguments.h"
#include "sandbox/policy/path_calls.h"
#include "sandbox/policy/policy_text.h"

namespace furnace::policy {
namespace {

/// Calls that are many calls in one: which of them is used is part of the lesson.
constexpr std::array kByArgument = {
    SYS_ioctl,      SYS_fcntl, SYS_prctl,     SYS_arch_prctl, SYS_socket, SYS_socketpair, SYS_setsockopt,
    SYS_getsockopt, SYS_clone, SYS_prlimit64, SYS_madvise,    SYS_kill,   SYS_tgkill,     SYS_memfd_create};

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::vector<PathTest> tests_of(const std::set<std::string>& paths, size_t files) {
  std::map<std::string, std::vector<std::string>> by_directory;
  for (const std::string& path : paths) by_directory[directory_of(path)].push_back(path);
  std::vector<PathTest> tests;
  for (const auto& [directory, inside] : by_directory) {
    if (inside.size() > files) {
      tests.push_back({PathTest::Kind::Directory, directory});
      continue;
    }
    for (const std::string& path : inside) tests.push_back({PathTest::Kind::Exact, path});
  }
  return tests;
}

constexpr size_t kMostUnnameable = 1000;

/// The program chooses its paths: one of two lines would be a rule of its own, and others would act on the
/// terminal on which the policy is read.
bool fits_a_rule(const std::string& path) {
  return printable_lines(path) == path && path.find_first_of("\n\t") == std::string::npos &&
         path.find(" #") == std::string::npos && !path.ends_with(' ');
}

}  // namespace

void Lesson::add(const Decided& call) {
  Seen& seen = seen_.at(static_cast<size_t>(call.level))[call.number];
  const PathCall* const by_path = path_call(call.number);
  const bool tests_path =
      by_path != nullptr && (by_path->family == Family::Open || by_path->family == Family::Execute);
  if (tests_path && call.path.starts_with('/')) {
    if (fits_a_rule(call.path)) {
      seen.paths.insert(call.path);
    } else if (unnameable_.size() < kMostUnnameable) {
      unnameable_.insert(call.path);
    }
  } else if (const bool by_argument = std::find(kByArgument.begin(), kByArgument.end(),
                                                static_cast<long>(call.number)) != kByArgument.end();
             by_argument) {
    const std::string name = guest::syscall_name(call.number);
    const uint32_t argument = *deciding_argument(name);
    seen.values.insert(call.arguments.at(argument) & bits_of_argument(name, argument));
  } else {
    seen.any = true;
  }
}

Policy Lesson::policy(size_t files) const {
  Policy policy;
  // A program that knows of no levels may do the same at both.
  const bool has_levels = !seen_[1].empty();
  for (const Level level : kLevels) {
    const auto& of_level = seen_.at(has_levels ? static_cast<size_t>(level) : 0);
    // The paths of a family are one list: a test of one of its calls is a test of all.
    std::map<Family, std::set<std::string>> of_family;
    for (const auto& [number, seen] : of_level)
      if (const PathCall* call = path_call(number))
        of_family[call->family].insert(seen.paths.begin(), seen.paths.end());
    for (const PathCall& call : path_calls())
      if (!of_family[call.family].empty())
        policy.at(level, call.number).paths = tests_of(of_family[call.family], files);
    for (const auto& [number, seen] : of_level) {
      Verdict& verdict = policy.at(level, number);
      // What is open already, by the empty path: a path test lets it through.
      verdict.always = seen.any && verdict.paths.empty();
      const std::string name = guest::syscall_name(number);
      for (const uint64_t value : seen.values) {
        const uint32_t argument = *deciding_argument(name);
        verdict.integers.push_back(
            {Condition{argument, bits_of_argument(name, argument), Condition::Compare::Equal, value}});
      }
    }
  }
  return policy;
}

std::string Lesson::text(size_t files) const {
  std::string text;
  for (const std::string& path : unnameable_)
    text += fmt::format("# Left out, since no rule can name it: {}\n", printable(path));
  return text + to_text(policy(files));
}

Result<Lesson> learn(const std::vector<std::string>& command, int& exit_code) {
  Lesson lesson;
  const Policy nothing;
  CallSupervisor::Options options;
  options.audit = true;
  options.observer = [&](const Decided& decided) { lesson.add(decided); };
  FURNACE_TRY(const Ended ended, inspect(nothing, command, options));
  exit_code = ended.exit_code;
  return lesson;
}

}  // namespace furnace::policy
