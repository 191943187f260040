// Makes sure that a guest we stopped runs again, without a breakpoint of ours, however our process ends.
#pragma once

#include <sys/types.h>

#include <filesystem>

#include "base/fd.h"
#include "base/result.h"

namespace furnace::hypervisor {

/// A small process of its own that waits for the end of ours. If that comes while the guest is paused, it
/// continues the guest through QMP; if it comes while the gdb stub is open, it takes all breakpoints and
/// watchpoints back over the very connection, of which it holds a duplicate. kill -9 of the whole process
/// group does not reach it. Make it before threads and before connections that it must not inherit.
class Guard {
 public:
  /// What the guard learns, a byte each.
  enum class Note : char { Paused, Resumed, Held, NotHeld, StubOpened, StubClosed };

  /// `qemu` is the process that serves `qmp_socket`: nothing is said to another one.
  [[nodiscard]] static Result<Guard> start(const std::filesystem::path& qmp_socket, pid_t qemu);
  /// The guard's end, for another process.
  [[nodiscard]] Fd take_apart() && { return std::move(socket_); }
  /// Becomes readable when the guard has exited.
  [[nodiscard]] int descriptor() const { return socket_.get(); }
  Guard(Guard&&) noexcept = default;
  Guard& operator=(Guard&&) = delete;
  /// Ends the guard and collects it.
  ~Guard();

  /// Tell before the guest is stopped, and after it was continued.
  [[nodiscard]] Status note_paused() { return tell(Note::Paused); }
  [[nodiscard]] Status note_resumed() { return tell(Note::Resumed); }

  /// Tell before the stub's connection is used, and after the stub was closed.
  [[nodiscard]] Status note_stub(const Fd& connection) { return tell(Note::StubOpened, connection.get()); }
  [[nodiscard]] Status note_stub_closed() { return tell(Note::StubClosed); }
  /// Another program has paused the guest (or it runs again): it must not be resumed for our sake.
  [[nodiscard]] Status note_held(bool held) { return tell(held ? Note::Held : Note::NotHeld); }

 private:
  Guard(Fd socket, pid_t pid) : socket_(std::move(socket)), pid_(pid) {}
  [[nodiscard]] Status tell(Note note, int descriptor = -1);

  Fd socket_;
  pid_t pid_ = -1;
};

}  // namespace furnace::hypervisor
