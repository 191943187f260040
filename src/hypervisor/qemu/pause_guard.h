// Makes sure that a guest we paused runs again, however our process ends.
#pragma once

#include <sys/types.h>

#include <filesystem>

#include "base/fd.h"
#include "base/result.h"

namespace furnace::hypervisor {

/// A small process of its own that waits for the end of ours. If that comes while the guest is paused, it
/// continues the guest through QMP; kill -9 of the whole process group does not reach it. Make it before
/// threads and before connections that it must not inherit.
class PauseGuard {
 public:
  [[nodiscard]] static Result<PauseGuard> start(const std::filesystem::path& qmp_socket);
  PauseGuard(PauseGuard&&) noexcept = default;
  PauseGuard& operator=(PauseGuard&&) = delete;
  /// Ends the guard and collects it.
  ~PauseGuard();

  /// Tell before the guest is stopped, and after it was continued.
  [[nodiscard]] Status note_paused() { return tell('p'); }
  [[nodiscard]] Status note_resumed() { return tell('r'); }

 private:
  PauseGuard(Fd pipe, pid_t pid) : pipe_(std::move(pipe)), pid_(pid) {}
  [[nodiscard]] Status tell(char state);

  Fd pipe_;
  pid_t pid_ = -1;
};

}  // namespace furnace::hypervisor
