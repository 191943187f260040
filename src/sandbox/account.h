// Whose processes partitions are, as the host sees it.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>

#include "base/result.h"

namespace furnace::sandbox {

struct Account {
  uid_t user = 0;
  gid_t group = 0;
  bool dedicated = false;  ///< the system account "furnace", which `furnace setup` makes
};

/// Started by root: the account "furnace", or without it a number that no account has. Nothing if we are not
/// root: partitions are the user's own.
[[nodiscard]] std::optional<Account> partition_account();

/// Gives a directory that is root's, and what lies in it, to the account: partitions write there.
[[nodiscard]] Status hand_over(const std::filesystem::path& directory, const Account& account);

/// Lets the account read a file that is root's (an entry in its access control list).
[[nodiscard]] Status let_read(const std::filesystem::path& file, const Account& account);

}  // namespace furnace::sandbox
