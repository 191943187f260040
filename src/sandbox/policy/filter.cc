#include "sandbox/policy/filter.h"

#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "base/enum_table.h"
#include "base/fd.h"
#include "guest/linux/syscalls.h"
#include "sandbox/policy/path_calls.h"

namespace furnace::policy {
namespace {

using Context = std::unique_ptr<void, void (*)(scmp_filter_ctx)>;

Status checked(int result, std::string_view what) {
  if (result == 0) return {};
  return fail(Errc::Failed, "seccomp filter: {}: {}", what, errno_text(-result));
}

/// Tests that hold at both levels.
std::vector<IntegerTest> common(const Verdict& start, const Verdict& established) {
  if (start.always) return established.integers;
  if (established.always) return start.integers;
  std::vector<IntegerTest> both;
  for (const IntegerTest& test : start.integers)
    if (std::find(established.integers.begin(), established.integers.end(), test) !=
        established.integers.end())
      both.push_back(test);
  return both;
}

/// As libseccomp has it; empty for what the filter can't say. An int's upper half is not seen by the kernel,
/// so that only masked comparisons are safe, and libseccomp has only one of them.
std::vector<scmp_arg_cmp> comparisons(const IntegerTest& test) {
  using Compare = Condition::Compare;
  std::vector<scmp_arg_cmp> all;
  for (const Condition& condition : test) {
    const bool again = std::any_of(all.begin(), all.end(),
                                   [&](const scmp_arg_cmp& each) { return each.arg == condition.argument; });
    if (again) return {};
    if (condition.compare == Compare::Equal) {
      all.push_back({condition.argument, SCMP_CMP_MASKED_EQ, condition.mask, condition.value});
      continue;
    }
    if (condition.mask != UINT64_MAX) return {};
    constexpr EnumTable<Compare, scmp_compare> compares({
        {Compare::Equal, SCMP_CMP_EQ},
        {Compare::NotEqual, SCMP_CMP_NE},
        {Compare::Less, SCMP_CMP_LT},
        {Compare::LessOrEqual, SCMP_CMP_LE},
        {Compare::Greater, SCMP_CMP_GT},
        {Compare::GreaterOrEqual, SCMP_CMP_GE},
    });
    all.push_back({condition.argument, compares[condition.compare], condition.value, 0});
  }
  return all;
}

Status add(const Context& filter, uint32_t number, const Policy& policy) {
  const Verdict& start = policy.verdict(Level::Start, number);
  const Verdict& established = policy.verdict(Level::Established, number);
  const auto call = static_cast<int>(number);
  const std::string name = guest::syscall_name(number);
  if (start.always && established.always) {
    // The supervisor must see the name ESTABLISHED.
    const PathCall* by_path = path_call(number);
    if (by_path != nullptr && by_path->family == Family::Open && policy.has_levels()) return {};
    return checked(seccomp_rule_add_array(filter.get(), SCMP_ACT_ALLOW, call, 0, nullptr), name);
  }
  if (start.is_denied() && established.is_denied() && start.error_number &&
      start.error_number == established.error_number)
    return checked(
        seccomp_rule_add_array(filter.get(), SCMP_ACT_ERRNO(static_cast<uint16_t>(*start.error_number)), call,
                               0, nullptr),
        name);
  for (const IntegerTest& test : common(start, established)) {
    const auto compared = comparisons(test);
    if (!compared.empty())
      FURNACE_CHECK(checked(seccomp_rule_add_array(filter.get(), SCMP_ACT_ALLOW, call,
                                                   static_cast<unsigned>(compared.size()), compared.data()),
                            name));
  }
  return {};
}

Result<std::vector<sock_filter>> exported(const Context& filter) {
  const Fd file(::memfd_create("filter", MFD_CLOEXEC));
  if (!file.valid()) return fail_errno("seccomp filter: memory");
  FURNACE_CHECK(checked(seccomp_export_bpf(filter.get(), file.get()), "export"));
  const off_t size = ::lseek(file.get(), 0, SEEK_END);
  std::vector<sock_filter> program(static_cast<size_t>(std::max<off_t>(size, 0)) / sizeof(sock_filter));
  if (::pread(file.get(), program.data(), program.size() * sizeof(sock_filter), 0) != size)
    return fail_errno("seccomp filter");
  if (program.size() > BPF_MAXINSNS)
    return fail(Errc::Invalid, "the policy makes a filter of {} instructions; the kernel takes {}",
                program.size(), BPF_MAXINSNS);
  return program;
}

}  // namespace

Result<std::vector<sock_filter>> compile(const Policy& policy, Unruled unruled) {
  const uint32_t action = unruled == Unruled::Ask ? SCMP_ACT_NOTIFY : SCMP_ACT_KILL_PROCESS;
  const Context filter(seccomp_init(action), seccomp_release);
  if (!filter) return fail(Errc::Failed, "seccomp filter: this libseccomp has no user notification");
  FURNACE_CHECK(checked(seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, action), "other ABIs"));
  constexpr uint32_t binary_tree = 2;
  FURNACE_CHECK(checked(seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, binary_tree), "optimize"));
  for (const auto& [number, verdict] : policy.verdicts(Level::Established))
    FURNACE_CHECK(add(filter, number, policy));
  for (const auto& [number, verdict] : policy.verdicts(Level::Start))
    if (!policy.verdicts(Level::Established).contains(number)) FURNACE_CHECK(add(filter, number, policy));
  return exported(filter);
}

}  // namespace furnace::policy
