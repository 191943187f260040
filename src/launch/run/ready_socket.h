// Where parts report that they are ready (sd_notify(3)).
#pragma once

#include <sys/types.h>

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace furnace::launch {

/// A socket in run_directory() that goes with its owner.
class ReadySocket {
 public:
  [[nodiscard]] static Result<ReadySocket> bind();
  ReadySocket(ReadySocket&&) = default;
  ReadySocket& operator=(ReadySocket&&) = delete;
  ~ReadySocket();

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] int descriptor() const { return socket_.get(); }
  /// The process that is ready, which the kernel names; 0: no message waits.
  [[nodiscard]] pid_t take() const;

 private:
  ReadySocket() = default;
  std::string path_;
  Fd socket_;
};

}  // namespace furnace::launch
