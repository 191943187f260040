// What a launcher reports about its partition to its operator: at a socket of its own, while it runs.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "sandbox/cgroup.h"

namespace furnace::sandbox {

struct PartitionState {
  std::string name;  ///< "app 1111-app"
  pid_t launcher = 0;
  pid_t program = 0;         ///< as the host counts; 0: not started yet
  bool established = false;  ///< it is ready and has given up the rights of its start
  double seconds = 0;        ///< since it was started
  uint64_t messages = 0;     ///< that it has taken or sent
  uint64_t denied = 0;       ///< system calls that its policy doesn't allow
  uint64_t left_out = 0;     ///< bytes that it printed beyond its limit
  Usage usage;               ///< all zero without a cgroup
};
[[nodiscard]] std::string to_json(const PartitionState& state);
[[nodiscard]] Result<PartitionState> parse_state(std::string_view json);

/// run_directory()/partitions/KIND.ID.PID, mode 0600: each connection is answered with the state of the
/// moment and closed.
class StateSocket {
 public:
  [[nodiscard]] static Result<StateSocket> bind(std::string_view name);

  [[nodiscard]] int descriptor() const { return socket_.get(); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// Answers who waits, without blocking.
  void answer(const PartitionState& state) const;

 private:
  StateSocket(Fd socket, std::filesystem::path path) : socket_(std::move(socket)), path_(std::move(path)) {}
  Fd socket_;
  std::filesystem::path path_;
};

/// The partitions that run here, of this user's launchers (root: of root's), by name.
[[nodiscard]] std::vector<PartitionState> running_partitions();

}  // namespace furnace::sandbox
