// What the supervisor does in a target's place, with an object that was tested.
#pragma once

#include <linux/seccomp.h>

#include <optional>

#include "sandbox/policy/lookup.h"
#include "sandbox/policy/path_calls.h"

namespace furnace::policy {

/// A call that reaches a file by its path, as its registers have it.
struct PathRequest {
  const PathCall* call = nullptr;
  Lookup lookup;
  uint64_t flags = 0;  ///< of opens: O_*; of others: AT_*
  uint64_t mode = 0;
  bool by_descriptor = false;  ///< AT_EMPTY_PATH and no path: the object is open already
};

/// A negative errno where the arguments can't be read or mean nothing.
[[nodiscard]] int read_request(const Target& target, const PathCall& call, const seccomp_data& data,
                               PathRequest& request);

/// How a call ends.
struct Outcome {
  int64_t value = 0;  ///< or a negative errno
  Fd opened;          ///< to be given to the target
  bool close_on_exec = false;
  uint64_t to = 0;              ///< where `data` goes in the target's memory
  std::vector<std::byte> data;  ///< to be written there, with our rights
};

/// Does what was asked with what was found. Not for the execute family.
[[nodiscard]] Outcome perform(const PathRequest& request, const Found& found, const seccomp_data& data);

}  // namespace furnace::policy
