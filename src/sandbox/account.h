// Whose processes partitions are, as the host sees it.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>

#include "base/directory.h"
#include "base/fd.h"
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

/// The same for a partition that has this directory: if it is an account's already it stays so. What was
/// started before `furnace setup` made another account continues, and so do its apps.
[[nodiscard]] std::optional<Account> account_of(const Directory& directory);

/// Gives a directory that is root's or another account's, and the files in it, to the account: partitions
/// write there.
[[nodiscard]] Status hand_over(const Directory& directory, const Account& account);

/// Lets the account connect to the sockets in a directory of another account, also to those that are bound
/// later.
[[nodiscard]] Status let_connect(const Directory& directory, const Account& account);

/// Lets the account read an open file, with what its access control list says of others.
[[nodiscard]] Status let_read(const Fd& file, const std::filesystem::path& name, const Account& account);

}  // namespace furnace::sandbox
