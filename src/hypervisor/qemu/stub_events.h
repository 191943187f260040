// Events of a QEMU guest through the gdb stub: breakpoints and watched memory, on KVM and TCG alike.
//
// The stub is open only while something is watched. While it is, the guest is stopped and let run through it
// alone; an event's vCPUs stand from `take` to `proceed`.
#pragma once

#include <map>
#include <set>

#include "hypervisor/events.h"
#include "hypervisor/qemu/guard.h"
#include "hypervisor/qemu/handles.h"
#include "hypervisor/qemu/memory_access.h"
#include "hypervisor/qemu/stub.h"

namespace furnace::hypervisor {

class StubEvents : public EventSource {
 public:
  /// All must outlive it.
  StubEvents(Qmp& qmp, Guard& guard, guest::GuestMemory& memory, const QemuHandles::Setup& setup)
      : qmp_(qmp),
        guard_(guard),
        memory_(memory),
        watched_bytes_(memory),
        vcpus_(setup.vcpus),
        tcg_(setup.tcg),
        loses_flags_(setup.loses_flags) {}
  ~StubEvents() override { close(); }

  [[nodiscard]] bool offers(EventKind kind) const override {
    return kind == EventKind::Breakpoint || kind == EventKind::MemoryAccess;
  }
  [[nodiscard]] bool prefers_watched_writes() const override { return tcg_; }
  [[nodiscard]] Result<uint64_t> watch(const Watch& watch) override;
  [[nodiscard]] Status unwatch(uint64_t watch) override;
  void forget() override;
  [[nodiscard]] bool pending() const override { return !events_.empty(); }
  [[nodiscard]] std::vector<GuestEvent> take() override;
  void proceed() override;

  [[nodiscard]] bool open() const { return stub_.has_value(); }
  /// Of the open stub.
  [[nodiscard]] int descriptor() const { return stub_->descriptor(); }

  /// Stops the guest until `release`; events that come meanwhile are kept. While the stub is closed, stopping
  /// and starting is up to the caller.
  [[nodiscard]] Status hold();
  [[nodiscard]] Status release();

  /// Whether somebody else has paused the guest.
  [[nodiscard]] bool held_elsewhere();

  /// Closes the stub; the guest runs on unless it is held, or somebody else has paused it.
  void close();

 private:
  struct Watched {
    Watch watch;
    std::vector<StubPoint> points;
  };
  /// A vCPU that stands at a breakpoint.
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
  [[nodiscard]] Status stand();
  [[nodiscard]] Status go();
  void note(const Stop& stop, bool asked_for);
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
  void lost_connection(const Error& why);

  Qmp& qmp_;
  Guard& guard_;
  guest::GuestMemory& memory_;
  WatchedBytes watched_bytes_;
  Disassembler disassembler_;
  uint32_t vcpus_;
  bool tcg_, loses_flags_;
  std::optional<Stub> stub_;
  std::map<uint64_t, Watched> watches_;
  std::map<StubPoint, std::set<uint64_t>> points_;  ///< and the watches that need each
  std::vector<GuestEvent> events_;
  std::vector<Standing> standing_;
  std::set<Retry> retries_;
  bool held_ = false, held_elsewhere_ = false;
  uint64_t earlier_resumes_ = 0;  ///< RESUME events of QEMU from before the stub was opened
  uint64_t next_watch_ = 1;
};

}  // namespace furnace::hypervisor
