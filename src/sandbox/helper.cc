#include "sandbox/helper.h"

#include <grp.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/account.h"
#include "sandbox/policy/filter.h"
#include "sandbox/policy/policy_parser.h"

namespace furnace::sandbox {
namespace {

Status become(const Account& account) {
  if (::setgroups(0, nullptr) != 0 || ::setresgid(account.group, account.group, account.group) != 0 ||
      ::setresuid(account.user, account.user, account.user) != 0)
    return fail_errno("user {}", account.user);
  return {};
}

}  // namespace

Result<std::function<Status()>> confine_helper(const std::filesystem::path& policy) {
  FURNACE_TRY(const auto parsed, policy::load_policy(policy));
  FURNACE_TRY(auto filter, policy::compile(parsed.policy, policy::Unruled::Kill));
  return [filter = std::move(filter), account = partition_account()]() mutable -> Status {
    if (account) FURNACE_CHECK(become(*account));
    ::prctl(PR_SET_DUMPABLE, 0);  // NOLINT: variadic
    const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||  // NOLINT: variadic
        ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
      return fail_errno("system call filter");
    return {};
  };
}

}  // namespace furnace::sandbox
