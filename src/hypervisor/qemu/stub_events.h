// Events of a QEMU guest through the gdb stub: breakpoints and watched memory, on KVM and TCG alike.
//
// The stub is open only while something is watched. While it is, the guest is paused and resumed only
// through it; an event's vCPUs are paused from `take` to `proceed`.
#pragma once

#include <map>
#include <set>

#include "hypervisor/events.h"
#include "hypervisor/qemu/control.h"
#include "hypervisor/qemu/memory_access.h"
#include "hypervisor/qemu/setup.h"

namespace furnace::hypervisor {

class StubEvents : public EventSource {
 public:
  /// All must outlive it.
  StubEvents(QemuControl& control, guest::GuestMemory& memory, const QemuSetup& setup)
      : control_(control),
        memory_(memory),
        watched_bytes_(memory),
        tcg_(setup.tcg),
        loses_flags_(setup.loses_flags) {}
  ~StubEvents() override { close(); }

  [[nodiscard]] bool offers(EventKind kind) const override {
    return kind == EventKind::Breakpoint || kind == EventKind::MemoryAccess;
  }
  [[nodiscard]] bool prefers_watched_writes() const override { return tcg_; }
  [[nodiscard]] Result<uint64_t> watch(const Watch& watch) override;
  [[nodiscard]] Status unwatch(uint64_t watch) override;
  [[nodiscard]] bool check_in_place() override;
  void forget() override;
  [[nodiscard]] bool pending() const override { return !events_.empty() || control_.has_stop(); }
  [[nodiscard]] std::vector<GuestEvent> take() override;
  void proceed() override;

  /// Stops the guest until `release`; events that come meanwhile are kept. While the stub is closed, stopping
  /// and starting is up to the caller.
  [[nodiscard]] Status hold();
  [[nodiscard]] Status release();

  /// Closes the stub; the guest resumes unless it is held, or another program has paused it.
  void close();

 private:
  struct Watched {
    Watch watch;
    std::vector<StubPoint> points;
  };
  /// A vCPU that is paused at a breakpoint.
  struct Standing {
    uint32_t vcpu;
    Registers registers;
  };
  /// A breakpoint whose instruction faulted when it was stepped over: it will run, and hit, again.
  struct Retry {
    uint64_t address, root, rsp;
    auto operator<=>(const Retry&) const = default;
  };

  [[nodiscard]] static Retry retry_of(const Registers& registers);
  [[nodiscard]] Status ensure_open();
  void forget_all();
  [[nodiscard]] Status stand();
  [[nodiscard]] Status go();
  void note(const Stop& stop);
  void note_breakpoint(uint32_t vcpu, Registers registers);
  void note_access(uint32_t vcpu, const StubPoint& hit, const Registers& registers);
  void note_known_writers(uint32_t vcpu, uint64_t hit, const Registers& registers);
  void note_hidden(const Stop& reported);
  void reveal_hit(uint32_t vcpu, const Registers& registers);
  [[nodiscard]] bool may_hide_a_hit(const Registers& registers) const;
  [[nodiscard]] Status pass_breakpoint(const Standing& standing);
  [[nodiscard]] Result<Registers> step_once(const Standing& standing, bool may_stay);
  [[nodiscard]] Result<Registers> run_to_next(const Standing& standing, uint32_t length);
  [[nodiscard]] Status insert(uint64_t watch, Watched& watched);
  [[nodiscard]] Status remove_point(const StubPoint& point, uint64_t watch);
  [[nodiscard]] Status check_some_points();
  void lost_connection(const Error& why);

  QemuControl& control_;
  guest::GuestMemory& memory_;
  WatchedBytes watched_bytes_;
  Disassembler disassembler_;
  bool tcg_, loses_flags_;
  bool open_ = false;
  std::map<uint64_t, Watched> watches_;
  std::map<StubPoint, std::set<uint64_t>> points_;  ///< and the watches that need each
  std::optional<StubPoint> checked_;                ///< the last one that was looked for
  std::vector<GuestEvent> events_;
  std::vector<Standing> standing_;
  std::set<Retry> retries_;
  bool held_ = false;
  uint64_t next_watch_ = 1;
};

}  // namespace furnace::hypervisor
