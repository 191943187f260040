// Decides the system calls that the filter can't: by level, and by the path they reach.
#pragma once

#include <linux/seccomp.h>

#include <functional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "sandbox/policy/actions.h"
#include "sandbox/policy/policy.h"

namespace furnace::policy {

/// A call that was decided.
struct Decided {
  enum class How : uint8_t { Allowed, Refused, Violation };
  How how = How::Allowed;
  Level level = Level::Start;
  pid_t process = 0, thread = 0;
  std::string program;  ///< of violations
  uint32_t architecture = 0;
  uint32_t number = 0;
  std::array<uint64_t, 6> arguments{};
  std::string path;     ///< that was tested, or empty
  std::string address;  ///< the same of connect
};

/// One line: program, pid, thread, call with arguments, and the rule that is missing.
[[nodiscard]] std::string describe(const Decided& violation);

class CallSupervisor {
 public:
  using Observer = std::function<void(const Decided&)>;
  struct Options {
    bool audit = false;  ///< violations are reported and allowed
    Observer observer;   ///< gets what was decided
  };

  /// `program`: its first execve is the start of the program itself, and allowed.
  CallSupervisor(Fd listener, const Policy& policy, pid_t program, Options options);

  [[nodiscard]] int descriptor() const { return listener_.get(); }
  [[nodiscard]] Level level() const { return level_; }
  /// Takes one call that waits and decides it. False: it was a violation, and the partition must end; the
  /// call waits on.
  [[nodiscard]] Result<bool> handle();

 private:
  struct Call;
  [[nodiscard]] Result<bool> decide(Call& call);
  [[nodiscard]] Result<bool> decide_path(Call& call, const Verdict& verdict);
  [[nodiscard]] bool decide_connect(Call& call, const Verdict& verdict);
  [[nodiscard]] bool is_established(Call& call);
  [[nodiscard]] bool deny(Call& call, const Verdict& verdict);
  [[nodiscard]] bool execute(Call& call, const Verdict& verdict);
  void observe(const Call& call, Decided::How how) const;
  void go_on(const Call& call) const;
  void answer(const Call& call, int64_t value) const;
  void answer(const Call& call, const Outcome& outcome) const;

  Fd listener_;
  const Policy& policy_;
  pid_t program_;
  Options options_;
  Level level_ = Level::Start;
  bool started_ = false;
  std::vector<std::byte> notification_;  // the kernel's may be larger than ours
};

}  // namespace furnace::policy
