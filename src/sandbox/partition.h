// Runs a program in a partition: its own view and namespaces, limits, no privileges, and under a policy.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/message_counter.h"
#include "base/result.h"
#include "sandbox/account.h"
#include "sandbox/cgroup.h"
#include "sandbox/output.h"
#include "sandbox/policy/call_supervisor.h"
#include "sandbox/policy/policy.h"
#include "sandbox/view.h"

namespace furnace::sandbox {

struct Partition {
  std::string name;  ///< for messages: "app 1111-app"
  View view;
  std::vector<std::string> command;           ///< the program inside and its arguments
  std::vector<Fd> handles;                    ///< open inside as well, under the same numbers
  std::string policy_name;                    ///< which of policies/ is its own: "vmi-xen"
  std::optional<policy::Policy> policy;       ///< otherwise its calls are not inspected
  bool audit = false;                         ///< what the policy does not allow is reported, and allowed
  policy::CallSupervisor::Observer observer;  ///< gets what was decided, instead of the log
  std::optional<Account> account;             ///< of root's partitions
  std::vector<std::string> writable;          ///< places inside; for Landlock
  std::vector<uint16_t> ports;                ///< TCP ports it may connect to; for Landlock
  std::string group;                          ///< name of its cgroup; empty: none
  std::optional<Limits> limits;               ///< the group is made with them, and removed afterwards
  std::vector<Fd> locks;                      ///< held outside for as long as it runs
  std::vector<std::string> leftovers;         ///< files of the host to remove at the end
  std::function<void()> tidy;                 ///< removes what else the program leaves in its directories
  OutputLimit output;
  MessageCounter messages;  ///< that the program counts
  uint64_t open_files = 256;
  uint64_t file_size = UINT64_MAX;       ///< bytes that a file it writes may have; that number: no limit
  uint64_t private_memory = UINT64_MAX;  ///< bytes of memory that it does not share; that number: no limit
  bool listed = true;                    ///< by `furnace top`
  std::function<void()> on_ready;        ///< it has established itself
};

struct PartitionEnd {
  /// 128 and the signal's number if a signal ended it, 159 (SIGSYS) after a violation; 0 if it was to end.
  int exit_code = 0;
  bool violation = false;
};

/// Runs it to its end, in the calling process, which must have no other threads. When `stop` becomes readable
/// (base/signals.h) it is ended in order, and ten seconds later in any case. Whatever happens to the caller,
/// nothing of the partition stays.
[[nodiscard]] Result<PartitionEnd> run_partition(Partition partition, Fd stop);

}  // namespace furnace::sandbox
