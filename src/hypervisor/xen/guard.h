// Makes sure that a domain we stopped runs again, without a breakpoint of ours, however our process ends.
#pragma once

#include <cstdint>

#include "base/fd.h"
#include "base/result.h"

namespace furnace::hypervisor {

/// A small process of its own that waits for the end of ours: then it puts the bytes under breakpoints back,
/// allows what was forbidden, ends the monitoring, and takes our pause back. kill -9 of the whole process
/// group does not reach it. Make it before threads and before connections that it must not inherit.
class XenGuard {
 public:
  /// What the guard learns.
  enum class Note : uint8_t {
    Paused,
    Resumed,
    Held,
    NotHeld,
    Monitored,
    NotMonitored,
    Breakpoint,
    NoBreakpoint,
    Altp2mOn,
    Altp2mOff,
    View,
    Forbidden,
    Allowed,
  };

  [[nodiscard]] static Result<XenGuard> start(uint32_t domain);
  XenGuard(XenGuard&&) noexcept = default;
  XenGuard& operator=(XenGuard&&) = delete;
  /// Ends the guard and collects it.
  ~XenGuard();

  /// Tell before the domain is paused, and after it was let run.
  [[nodiscard]] Status note_paused(bool paused) {
    return tell({paused ? Note::Paused : Note::Resumed, 0, 0});
  }
  /// The same of a second pause, which ends soon.
  [[nodiscard]] Status note_held(bool held) { return tell({held ? Note::Held : Note::NotHeld, 0, 0}); }
  /// Tell before monitoring begins, and after it has ended.
  [[nodiscard]] Status note_monitored(bool monitored) {
    return tell({monitored ? Note::Monitored : Note::NotMonitored, 0, 0});
  }
  /// Notifies the guard before a breakpoint is written at a physical address, and after it was removed.
  [[nodiscard]] Status note_breakpoint(uint64_t gpa, uint8_t original) {
    return tell({Note::Breakpoint, original, gpa});
  }
  [[nodiscard]] Status note_no_breakpoint(uint64_t gpa) { return tell({Note::NoBreakpoint, 0, gpa}); }

  /// Tell before alternative page tables (altp2m) are switched on, and after they were switched off.
  [[nodiscard]] Status note_altp2m(bool on) { return tell({on ? Note::Altp2mOn : Note::Altp2mOff, 0, 0}); }
  /// Tell which of their views is ours; 0: none any more.
  [[nodiscard]] Status note_view(uint16_t view) { return tell({Note::View, 0, view}); }
  /// Tell before accesses to a frame are forbidden in the page tables that all domains have, and after.
  [[nodiscard]] Status note_forbidden(uint64_t frame, bool forbidden) {
    return tell({forbidden ? Note::Forbidden : Note::Allowed, 0, frame});
  }

  struct Message {
    Note kind;
    uint8_t byte;     ///< of a breakpoint: what was there
    uint64_t number;  ///< gpa of a breakpoint, frame, view
  };

 private:
  XenGuard(Fd socket, pid_t pid) : socket_(std::move(socket)), pid_(pid) {}
  [[nodiscard]] Status tell(const Message& message);

  Fd socket_;
  pid_t pid_ = -1;
};

}  // namespace furnace::hypervisor
