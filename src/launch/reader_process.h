// The process that a reader is, with the launcher that has put it inside its walls.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace furnace::launch {

struct ReaderStart {
  std::string vm;
  std::vector<std::string> arguments;
  std::vector<Fd> handles;  ///< open in the reader as well, under the same numbers
  uint64_t file_size = 0;   ///< bytes that files which it writes may have
  bool forks = false;       ///< it may start another process before it is established
  bool unconfined = false;
};

class ReaderProcess {
 public:
  /// Starts it as a partition, by a launcher which is a process of its own and ends with us. What the reader
  /// prints is dropped, and what it logs is passed on up to a limit.
  [[nodiscard]] static Result<ReaderProcess> start(ReaderStart start);
  ReaderProcess(ReaderProcess&& other) noexcept
      : launcher_(std::exchange(other.launcher_, 0)), trouble_(std::move(other.trouble_)) {}
  ReaderProcess& operator=(ReaderProcess&&) = delete;
  /// Kills it, unless it has ended.
  ~ReaderProcess();

  /// Waits until it has exited by itself, or kills it. The error: why it could not start.
  [[nodiscard]] Status end(bool by_itself);

 private:
  ReaderProcess(pid_t launcher, Fd trouble) : launcher_(launcher), trouble_(std::move(trouble)) {}

  pid_t launcher_;
  Fd trouble_;  ///< where the launcher says why it failed
};

}  // namespace furnace::launch
