// Events of a Xen guest (HVM, PVH): writes of CR3 and software breakpoints, through Xen's monitor ring.
#pragma once

#include <deque>
#include <map>
#include <set>

#include "hypervisor/events.h"
#include "hypervisor/qemu/memory_access.h"
#include "hypervisor/xen/domain_memory.h"
#include "hypervisor/xen/guard.h"
#include "hypervisor/xen/monitor_ring.h"

namespace furnace::hypervisor {

class MonitorEvents : public EventSource {
 public:
  MonitorEvents(xc_interface& control, const Domain& domain, DomainMemory& memory, XenGuard& guard)
      : control_(control), domain_(domain), memory_(memory), guard_(guard) {}
  ~MonitorEvents() override { forget(); }

  [[nodiscard]] bool offers(EventKind kind) const override {
    return kind == EventKind::Cr3Write || kind == EventKind::Breakpoint || kind == EventKind::MemoryAccess;
  }
  [[nodiscard]] Result<uint64_t> watch(const Watch& watch) override;
  [[nodiscard]] Status unwatch(uint64_t watch) override;
  void forget() override;
  [[nodiscard]] std::vector<GuestEvent> take() override;
  void proceed() override;

  [[nodiscard]] bool open() const { return ring_ != nullptr; }
  [[nodiscard]] int descriptor() const { return ring_->descriptor(); }

 private:
  struct Breakpoint {
    std::byte original;
    std::set<uint64_t> watches;
  };
  struct Watched {
    EventKind kind;
    guest::Gpa at;  ///< of a breakpoint
  };

  [[nodiscard]] Status ensure_open();
  void close_if_idle();
  [[nodiscard]] Status watch_cr3(uint64_t number);
  [[nodiscard]] Result<guest::Gpa> set_breakpoint(uint64_t number, const Watch& watch);
  [[nodiscard]] Status remove_breakpoint(uint64_t number, guest::Gpa at);
  void note_cr3(const vm_event_request_t& request);
  void note_breakpoint(const vm_event_request_t& request);
  /// How a vCPU gets past a breakpoint that stays.
  void step_over(const Registers& registers, vm_event_response_t& response) const;

  xc_interface& control_;
  const Domain& domain_;
  DomainMemory& memory_;
  XenGuard& guard_;
  std::unique_ptr<MonitorRing> ring_;
  Disassembler disassembler_;
  std::map<uint64_t, Watched> watches_;
  std::map<uint64_t, Breakpoint> breakpoints_;  // by physical address
  std::set<uint64_t> cr3_watches_;
  uint64_t next_watch_ = 1;
  std::vector<GuestEvent> events_;
  std::vector<vm_event_request_t> standing_;  // vCPUs that wait
};

}  // namespace furnace::hypervisor
