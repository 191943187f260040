// What a guest may do with its frames before Xen asks us: by the CPU's second page tables (Intel's EPT).
#pragma once

#include <map>
#include <set>

#include "hypervisor/events.h"
#include "hypervisor/xen/domain.h"
#include "hypervisor/xen/guard.h"

namespace furnace::hypervisor {

/// How a vCPU gets past an instruction that does what is forbidden.
enum class Passing : uint8_t {
  View,      ///< altp2m: only it gets page tables that forbid nothing, and stops after the instruction
  Open,      ///< the frame is opened, and it stops after the instruction: of guests with one vCPU
  Emulated,  ///< Xen runs the instruction for it, and does not stop after it
};

/// Forbids accesses to frames, and lets a vCPU past one instruction at a time.
class FrameAccess {
 public:
  /// The domain's monitor ring must be open. `can_step`: Xen stops vCPUs after an instruction (Intel's
  /// monitor trap flag). Errc::Unavailable: neither CPU nor Xen can forbid anything.
  [[nodiscard]] static Result<std::unique_ptr<FrameAccess>> open(xc_interface& control, const Domain& domain,
                                                                 XenGuard& guard, bool can_step);
  FrameAccess(const FrameAccess&) = delete;
  FrameAccess& operator=(const FrameAccess&) = delete;
  /// Nothing is forbidden any more.
  ~FrameAccess();

  [[nodiscard]] Passing passing() const { return passing_; }

  /// `access`: bits of hypervisor::Access. EPT can't forbid only reading: writes are forbidden then, too.
  [[nodiscard]] Status forbid(uint64_t frame, uint8_t access);

  /// The answer lets its vCPU run one instruction of which nothing is reported. False: Xen can't, here.
  [[nodiscard]] bool let_pass_unseen(vm_event_response_t& answer) const;
  /// The answer lets its vCPU run an instruction that touches these frames.
  void let_pass(const std::set<uint64_t>& frames, vm_event_response_t& answer);
  /// The answer to the event after that instruction.
  void forbid_again(const std::set<uint64_t>& frames, vm_event_response_t& answer);

 private:
  FrameAccess(xc_interface& control, const Domain& domain, XenGuard& guard)
      : control_(control), domain_(domain), guard_(guard) {}
  /// Whether altp2m is on.
  [[nodiscard]] Result<bool> enable_views();
  [[nodiscard]] Status make_view();
  [[nodiscard]] bool set(uint64_t frame, uint8_t forbidden);

  xc_interface& control_;
  const Domain& domain_;
  XenGuard& guard_;
  Passing passing_ = Passing::Emulated;
  std::optional<uint16_t> view_;  // of altp2m
  bool enabled_by_us_ = false;    // altp2m
  std::map<uint64_t, uint8_t> forbidden_;
};

}  // namespace furnace::hypervisor
