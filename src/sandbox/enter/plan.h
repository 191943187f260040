// What furnace-enter does inside a partition before the partition's own program; in memory that it shares
// with the launcher outside.
#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>

#include "base/enum_table.h"

namespace furnace::enter {

struct Plan {
  enum Phase : int { Starting, AwaitsUserMap, UserMapped };
  static constexpr int kNotYet = -1;

  // Talk between the two. After the filter is loaded a call without a supervisor would wait: hence memory.
  std::atomic<int> phase{Starting};
  std::atomic<int> listener{kNotYet};  ///< the filter's descriptor inside
  std::atomic<bool> listener_taken{false};
  std::atomic<int> error{0};        ///< errno of what failed
  std::atomic<int> failed_step{0};  ///< a Step

  // Set by the launcher before.
  bool change_user = false;  ///< root's launcher: a user namespace of its own, whose map the launcher writes
  uint32_t user = 1000, group = 1000;
  uint64_t open_files = 256;
  uint64_t file_size = UINT64_MAX;       ///< bytes that a file may grow to; that number: no limit
  uint64_t private_memory = UINT64_MAX;  ///< bytes of memory of its own (RLIMIT_DATA); that number: no limit
  bool confine_files = true;             ///< Landlock, as far as the kernel has it
  bool confine_network = true;
  uint32_t writable_count = 0;
  std::array<std::array<char, 64>, 4> writable{};  ///< directories; all else is read-only
  struct Bound {
    std::array<char, 256> place{};
    uint64_t device = 0, inode = 0;
  };
  uint32_t bound_count = 0;
  std::array<Bound, 8> bound{};  ///< what must lie there
  uint32_t port_count = 0;
  std::array<uint16_t, 4> ports{};  ///< TCP ports that may be connected to
  uint32_t filter_length = 0;       ///< 0: none
  std::array<sock_filter, BPF_MAXINSNS> filter{};
};

/// What can fail.
enum class Step : int {
  View,
  Limits,
  Keyring,
  UserNamespace,
  User,
  Landlock,
  Capabilities,
  NoNewPrivileges,
  Filter,
  Execute,
};
/// For the launcher's message.
inline constexpr EnumTable<Step, const char*> kSteps({
    {Step::View, "what its view shows was exchanged while it started"},
    {Step::Limits, "limits"},
    {Step::Keyring, "session keyring"},
    {Step::UserNamespace, "user namespace"},
    {Step::User, "user"},
    {Step::Landlock, "Landlock"},
    {Step::Capabilities, "capabilities"},
    {Step::NoNewPrivileges, "no_new_privs"},
    {Step::Filter, "seccomp filter"},
    {Step::Execute, "execute"},
});

}  // namespace furnace::enter
