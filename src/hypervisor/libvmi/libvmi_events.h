// Events of a Xen guest through LibVMI: writes of CR3, software breakpoints, and accesses to memory where the
// CPU has EPT.
#pragma once

#include "hypervisor/libvmi/libvmi.h"
#include "hypervisor/memory_watches.h"
#include "hypervisor/software_breakpoints.h"
#include "hypervisor/xen/guard.h"

namespace furnace::hypervisor {

/// LibVMI calls back, and answers Xen when the callback returns. The domain is held from then until
/// `proceed`, so that vCPUs stay where they were. Accesses are reported before they happen: Xen emulates the
/// instruction.
class LibVmiEvents : public EventSource {
 public:
  LibVmiEvents(std::string name, LibVmiMemory& memory, XenGuard guard);
  ~LibVmiEvents() override { forget(); }

  [[nodiscard]] bool offers(EventKind kind) const override {
    return kind == EventKind::Cr3Write || kind == EventKind::Breakpoint || kind == EventKind::MemoryAccess;
  }
  [[nodiscard]] Result<uint64_t> watch(const Watch& watch) override;
  [[nodiscard]] Status unwatch(uint64_t watch) override;
  [[nodiscard]] bool check_in_place() override { return breakpoints_.check_in_place(); }
  void forget() override;
  [[nodiscard]] std::vector<GuestEvent> take() override;
  void proceed() override;

  /// LibVMI does not show its own: it is asked from time to time.
  [[nodiscard]] int descriptor() const { return timer_.get(); }
  [[nodiscard]] XenGuard& guard() { return guard_; }

 private:
  struct Watched {
    EventKind kind;
    guest::Gpa at;  ///< of a breakpoint
  };
  [[nodiscard]] Status ensure_open();
  [[nodiscard]] Status arm(uint64_t number, const Watch& watch, Watched& watched);
  void disarm(uint64_t number, const Watched& watched);
  [[nodiscard]] Result<guest::PageTable> table_of(const Watch& watch) const;
  [[nodiscard]] Status forbid(uint64_t frame, uint8_t access);
  [[nodiscard]] Status add(vmi_event_t& event);
  void drop(vmi_event_t& event);
  void ask_every(std::chrono::microseconds time);
  void hold();
  void settle();

  [[nodiscard]] event_response_t note_cr3(vmi_event_t& event);
  [[nodiscard]] event_response_t note_breakpoint(vmi_event_t& event);
  [[nodiscard]] event_response_t note_access(vmi_event_t& event);
  template <auto Note>
  static event_response_t call_back(vmi_instance_t instance, vmi_event_t* event);

  std::string name_;
  LibVmiMemory& memory_;
  XenGuard guard_;
  Fd timer_;
  LibVmiInstance instance_;  // a second one: the first must not take the domain's only ring
  std::map<uint64_t, Watched> watches_;
  SoftwareBreakpoints breakpoints_;
  MemoryWatches accesses_;
  vmi_event_t cr3_{}, int3_{};
  std::map<uint64_t, vmi_event_t> frames_;
  emul_insn_t original_{};
  std::vector<GuestEvent> events_;
  bool held_ = false;
  uint64_t next_watch_ = 1;
};

}  // namespace furnace::hypervisor
