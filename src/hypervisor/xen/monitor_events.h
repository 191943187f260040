// Events of a Xen guest (HVM, PVH) through Xen's monitor ring: writes of CR3, software breakpoints, accesses
// to memory where the CPU has EPT, and what the guest asks for itself.
#pragma once

#include <map>
#include <set>

#include "hypervisor/events.h"
#include "hypervisor/memory_watches.h"
#include "hypervisor/software_breakpoints.h"
#include "hypervisor/xen/domain_memory.h"
#include "hypervisor/xen/event_kinds.h"
#include "hypervisor/xen/frame_access.h"
#include "hypervisor/xen/monitor_ring.h"

namespace furnace::hypervisor {

class MonitorEvents : public EventSource {
 public:
  MonitorEvents(xc_interface& control, const Domain& domain, DomainMemory& memory, XenGuard& guard);
  ~MonitorEvents() override { forget(); }

  [[nodiscard]] bool offers(EventKind kind) const override { return xen_offers(kind); }
  [[nodiscard]] Result<uint64_t> watch(const Watch& watch) override;
  [[nodiscard]] Status unwatch(uint64_t watch) override;
  [[nodiscard]] bool check_in_place() override { return breakpoints_.check_in_place(); }
  void forget() override;
  [[nodiscard]] std::vector<GuestEvent> take() override;
  void proceed() override;

  [[nodiscard]] bool open() const { return ring_ != nullptr; }
  [[nodiscard]] int descriptor() const { return ring_->descriptor(); }

 private:
  struct Watched {
    EventKind kind;
    guest::Gpa at;  ///< of a breakpoint
  };
  /// A vCPU that runs one instruction without what would stop it.
  struct Step {
    std::optional<guest::Gpa> lifted;
    std::set<uint64_t> frames;
    ComingAccesses accesses;
  };

  [[nodiscard]] Status ensure_open();
  void close_if_idle();
  [[nodiscard]] Status arm(uint64_t number, const Watch& watch, Watched& watched);
  [[nodiscard]] Status watch_cr3();
  [[nodiscard]] Status watch_guest_requests();
  [[nodiscard]] Result<guest::Gpa> set_breakpoint(uint64_t number, const Watch& watch);
  [[nodiscard]] Status watch_memory(uint64_t number, const Watch& watch);
  void disarm(uint64_t number, const Watched& watched);
  [[nodiscard]] bool any(EventKind kind) const;
  [[nodiscard]] Result<guest::PageTable> table_of(const Watch& watch) const;

  void note(const vm_event_request_t& request);
  void note_for_all(EventKind kind, const vm_event_request_t& request, const Registers& registers);
  void note_breakpoint(const vm_event_request_t& request);
  void note_access(const vm_event_request_t& request, const Registers& registers);
  void note_step(const vm_event_request_t& request);

  void answer(const vm_event_request_t& request);
  void pass_breakpoint(const vm_event_request_t& request, vm_event_response_t& answer);
  void run_original(const vm_event_request_t& request, vm_event_response_t& answer) const;
  void pass_access(const vm_event_request_t& request, vm_event_response_t& answer);
  void begin_step(const vm_event_request_t& request, vm_event_response_t& answer);
  void end_step(const vm_event_request_t& request, vm_event_response_t& answer);

  xc_interface& control_;
  const Domain& domain_;
  DomainMemory& memory_;
  XenGuard& guard_;
  std::unique_ptr<MonitorRing> ring_;
  bool can_step_ = false;  // the CPU can stop after an instruction (Intel's monitor trap flag)
  std::map<uint64_t, Watched> watches_;
  SoftwareBreakpoints breakpoints_;
  std::unique_ptr<FrameAccess> frames_;  // while memory is watched
  MemoryWatches accesses_;
  uint64_t next_watch_ = 1;
  std::vector<GuestEvent> events_;
  std::vector<vm_event_request_t> standing_;  // vCPUs that wait
  std::map<uint32_t, Step> steps_;            // by vCPU
};

}  // namespace furnace::hypervisor
