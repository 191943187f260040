#include "sandbox/enter/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace furnace::enter {
namespace {

// Newer than Debian 12's headers (include/uapi/linux/landlock.h).
constexpr uint64_t kTruncate = 1ULL << 14;                                      // version 3
constexpr uint64_t kIoctlDevice = 1ULL << 15;                                   // version 5
constexpr uint64_t kBindTcp = 1ULL << 0, kConnectTcp = 1ULL << 1;               // version 4
constexpr uint64_t kScopeAbstractSocket = 1ULL << 0, kScopeSignal = 1ULL << 1;  // version 6
constexpr int kRuleNetPort = 2;
struct Ruleset {
  uint64_t files = 0, network = 0, scoped = 0;
};
struct NetPort {
  uint64_t allowed = 0, port = 0;
};
constexpr int kKnownVersion = 6;

constexpr uint64_t kRead =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;

/// What a version can take away of files.
uint64_t file_rights(int version) {
  uint64_t rights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;  // version 1: all up to this one
  if (version >= 2) rights |= LANDLOCK_ACCESS_FS_REFER;
  if (version >= 3) rights |= kTruncate;
  if (version >= 5) rights |= kIoctlDevice;
  return rights;
}

bool allow_below(int ruleset, const char* directory, uint64_t rights) {
  const int parent = ::open(directory, O_PATH | O_CLOEXEC);
  if (parent < 0) return false;
  const landlock_path_beneath_attr rule{rights, parent};
  const long added = ::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
  ::close(parent);
  return added == 0;
}

bool add_rules(int ruleset, const Plan& plan, const Ruleset& handled) {
  if (handled.files != 0) {
    if (!allow_below(ruleset, "/", kRead)) return false;
    for (uint32_t i = 0; i < plan.writable_count; ++i)
      if (!allow_below(ruleset, plan.writable.at(i).data(), handled.files)) return false;
  }
  if (handled.network == 0) return true;
  for (uint32_t i = 0; i < plan.port_count; ++i) {
    const NetPort rule{kConnectTcp, plan.ports.at(i)};
    if (::syscall(SYS_landlock_add_rule, ruleset, kRuleNetPort, &rule, 0) != 0) return false;
  }
  return true;
}

}  // namespace

int landlock_version() {
  const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 1) return 0;
  return version < kKnownVersion ? static_cast<int>(version) : kKnownVersion;
}

bool landlock(const Plan& plan) {
  const int version = landlock_version();
  Ruleset handled;
  if (version >= 1 && plan.confine_files) handled.files = file_rights(version);
  if (version >= 4 && plan.confine_network) handled.network = kBindTcp | kConnectTcp;
  if (version >= 6) handled.scoped = kScopeAbstractSocket | kScopeSignal;
  if (handled.files == 0 && handled.network == 0 && handled.scoped == 0) return true;
  // Older kernels take a shorter attribute.
  const size_t size = version >= 6 ? sizeof handled : version >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
  const auto ruleset = static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, size, 0));
  if (ruleset < 0) return false;
  const bool done =
      add_rules(ruleset, plan, handled) && ::syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
  const int error = errno;
  ::close(ruleset);
  errno = error;
  return done;
}

}  // namespace furnace::enter
