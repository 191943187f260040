#include "sandbox/policy/policy_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/enum_table.h"
#include "guest/linux/syscalls.h"
#include "sandbox/policy/arguments.h"
#include "sandbox/policy/constants.h"
#include "sandbox/policy/path_calls.h"

namespace furnace::policy {
namespace {

std::string test_text(const IntegerTest& test, std::string_view call) {
  std::vector<std::string> conditions;
  for (const Condition& each : test) conditions.push_back(to_text(each, call));
  return fmt::format("REG_INT:{}", fmt::join(conditions, ","));
}

/// The call that represents its family: another, listed before it, is treated alike.
bool stands_for_itself(const Policy& policy, uint32_t number) {
  const PathCall* call = path_call(number);
  if (call == nullptr) return true;
  for (const PathCall& other : path_calls()) {
    if (other.number == number) return true;
    const bool alike = std::all_of(kLevels.begin(), kLevels.end(), [&](Level level) {
      const Verdict &a = policy.verdict(level, number), &b = policy.verdict(level, other.number);
      return a == b && !a.always;
    });
    if (other.family == call->family && alike) return false;
  }
  return true;
}

/// What holds at both levels is said once.
template <typename Test, typename Text>
void add_tests(std::vector<Statement>& all, const std::string& name, const std::vector<Test>& start,
               const std::vector<Test>& established, Text&& text) {
  const auto in = [](const std::vector<Test>& tests, const Test& test) {
    return std::find(tests.begin(), tests.end(), test) != tests.end();
  };
  for (const Test& test : start)
    all.push_back({fmt::format("{} TEST_ARGS {}", in(established, test) ? "A" : "0", name), text(test)});
  for (const Test& test : established)
    if (!in(start, test)) all.push_back({fmt::format("1 TEST_ARGS {}", name), text(test)});
}

void add_call(std::vector<Statement>& all, const Policy& policy, uint32_t number) {
  const std::string name = guest::syscall_name(number);
  const Verdict& start = policy.verdict(Level::Start, number);
  const Verdict& established = policy.verdict(Level::Established, number);
  if (start.always && established.always) {
    all.push_back({fmt::format("ALLOW {}", name), ""});
  } else if (start.always || established.always) {
    all.push_back({fmt::format("{} TRACE {}", start.always ? 0 : 1, name), ""});
  }
  add_tests(all, name, start.always ? std::vector<IntegerTest>() : start.integers,
            established.always ? std::vector<IntegerTest>() : established.integers,
            [&](const IntegerTest& test) { return test_text(test, name); });
  add_tests(all, name, start.always ? std::vector<PathTest>() : start.paths,
            established.always ? std::vector<PathTest>() : established.paths,
            [](const PathTest& test) { return to_text(test); });
  add_tests(all, name, start.always ? std::vector<AddressTest>() : start.addresses,
            established.always ? std::vector<AddressTest>() : established.addresses,
            [](const AddressTest& test) { return fmt::format("REG_PTR:address|{}", test.text()); });
  if (start.error_number && start.error_number == established.error_number) {
    all.push_back({fmt::format("A ERRNO {} {}", name, error_name(*start.error_number)), ""});
    return;
  }
  for (const Level level : kLevels)
    if (const auto& error = policy.verdict(level, number).error_number)
      all.push_back({fmt::format("{} ERRNO {} {}", static_cast<int>(level), name, error_name(*error)), ""});
}

}  // namespace

std::string to_text(const Condition& condition, std::string_view call) {
  using Compare = Condition::Compare;
  constexpr EnumTable<Compare, std::string_view> signs({
      {Compare::Equal, "="},
      {Compare::NotEqual, "!="},
      {Compare::Less, "<"},
      {Compare::LessOrEqual, "<="},
      {Compare::Greater, ">"},
      {Compare::GreaterOrEqual, ">="},
  });
  const uint64_t bits = bits_of_argument(call, condition.argument);
  const std::string value =
      condition.value < 10 ? fmt::format("{}", condition.value) : fmt::format("{:#x}", condition.value);
  const bool plain = condition.mask == bits && condition.compare == Compare::Equal;
  if (plain && deciding_argument(call) == condition.argument) return value;
  const auto parameters = guest::syscall_parameters(call).value_or(std::vector<guest::SyscallParameter>());
  const std::string name = condition.argument < parameters.size()
                               ? std::string(parameters[condition.argument].name)
                               : fmt::format("arg{}", condition.argument);
  return fmt::format("{}{}{}{}", name, condition.mask == bits ? "" : fmt::format("&{:#x}", condition.mask),
                     signs[condition.compare], value);
}

std::string to_text(const PathTest& test) {
  using Kind = PathTest::Kind;
  constexpr EnumTable<Kind, std::string_view> kinds({
      {Kind::Directory, "dirname"},
      {Kind::Below, "dirname_glob"},
      {Kind::Name, "basename"},
      {Kind::Exact, "exactpath"},
  });
  return fmt::format("REG_PTR:{}|{}", kinds[test.kind], test.text);
}

std::vector<Statement> statements(const Policy& policy) {
  std::set<uint32_t> numbers;
  for (const Level level : kLevels)
    for (const auto& [number, verdict] : policy.verdicts(level)) numbers.insert(number);
  std::vector<Statement> all;
  for (const uint32_t number : numbers)
    if (stands_for_itself(policy, number)) add_call(all, policy, number);
  std::sort(all.begin(), all.end());
  return all;
}

std::string to_text(const Policy& policy) {
  std::string text, open;
  const auto close = [&] {
    if (!open.empty()) text += "}\n";
    open.clear();
  };
  for (const Statement& statement : statements(policy)) {
    if (statement.test.empty() || statement.rule != open) close();
    if (statement.test.empty()) {
      text += statement.rule + "\n";
      continue;
    }
    if (open.empty()) text += fmt::format("{} {{\n", open = statement.rule);
    text += fmt::format("  {}\n", statement.test);
  }
  close();
  return text;
}

}  // namespace furnace::policy
