#include "hypervisor/xen/frame_access.h"

#include <array>
#include <cerrno>

#include "base/log.h"

namespace furnace::hypervisor {
namespace {

/// What is left allowed, by the bits of Access that are forbidden: what can't be read can't be written (EPT).
constexpr std::array kAllowed = {XENMEM_access_rwx, XENMEM_access_x, XENMEM_access_rx, XENMEM_access_x,
                                 XENMEM_access_rw,  XENMEM_access_n, XENMEM_access_r,  XENMEM_access_n};
constexpr uint16_t kEverythingAllowed = 0;  // the view that all domains have

}  // namespace

Result<std::unique_ptr<FrameAccess>> FrameAccess::open(xc_interface& control, const Domain& domain,
                                                       XenGuard& guard, bool can_step) {
  if (::xc_set_mem_access(&control, domain.id, XENMEM_access_rwx, 0, 1) != 0)
    return fail(Errc::Unavailable,
                "memory events need Intel's EPT: this host's CPU or Xen has no mem_access");
  std::unique_ptr<FrameAccess> made(new FrameAccess(control, domain, guard));
  if (!can_step) return made;
  FURNACE_TRY(const bool has_views, made->enable_views());
  if (has_views) {
    FURNACE_CHECK(made->make_view());
  } else if (domain.vcpus == 1) {
    made->passing_ = Passing::Open;
  }
  return made;
}

Result<bool> FrameAccess::enable_views() {
  uint64_t mode = XEN_ALTP2M_disabled;
  bool enabled = false;
  if (::xc_hvm_param_get(&control_, domain_.id, HVM_PARAM_ALTP2M, &mode) != 0 ||
      (mode == XEN_ALTP2M_disabled &&
       ::xc_hvm_param_set(&control_, domain_.id, HVM_PARAM_ALTP2M, XEN_ALTP2M_external) != 0) ||
      ::xc_altp2m_get_domain_state(&control_, domain_.id, &enabled) != 0)
    return false;
  if (enabled) return true;
  FURNACE_CHECK(guard_.note_altp2m(true));
  enabled_by_us_ = ::xc_altp2m_set_domain_state(&control_, domain_.id, true) == 0;
  if (!enabled_by_us_) {
    FURNACE_CHECK(guard_.note_altp2m(false));
  }
  return enabled_by_us_;
}

Status FrameAccess::make_view() {
  uint16_t view = 0;
  if (::xc_altp2m_create_view(&control_, domain_.id, XENMEM_access_rwx, &view) != 0)
    return fail_errno("a view (altp2m) of domain {}", domain_.id);
  view_ = view;
  passing_ = Passing::View;
  FURNACE_CHECK(guard_.note_view(view));
  if (::xc_altp2m_switch_to_view(&control_, domain_.id, view) != 0)
    return fail_errno("view (altp2m) {} of domain {}", view, domain_.id);
  return {};
}

FrameAccess::~FrameAccess() {
  for (const auto& [frame, access] : forbidden_) {
    (void)set(frame, 0);
    if (!view_) (void)guard_.note_forbidden(frame, false);
  }
  if (view_) {
    (void)::xc_altp2m_switch_to_view(&control_, domain_.id, kEverythingAllowed);
    (void)::xc_altp2m_destroy_view(&control_, domain_.id, *view_);
    (void)guard_.note_view(kEverythingAllowed);
  }
  if (!enabled_by_us_) return;
  (void)::xc_altp2m_set_domain_state(&control_, domain_.id, false);
  (void)guard_.note_altp2m(false);
}

bool FrameAccess::set(uint64_t frame, uint8_t forbidden) {
  const xenmem_access_t allowed = kAllowed.at(forbidden);
  return (view_ ? ::xc_altp2m_set_mem_access(&control_, domain_.id, *view_, frame, allowed)
                : ::xc_set_mem_access(&control_, domain_.id, allowed, frame, 1)) == 0;
}

Status FrameAccess::forbid(uint64_t frame, uint8_t access) {
  // A view goes as a whole.
  if (!view_ && access != 0) FURNACE_CHECK(guard_.note_forbidden(frame, true));
  if (!set(frame, access)) return fail_errno("accesses to frame {:#x} of domain {}", frame, domain_.id);
  if (access != 0) {
    forbidden_[frame] = access;
    return {};
  }
  forbidden_.erase(frame);
  return view_ ? Status{} : guard_.note_forbidden(frame, false);
}

bool FrameAccess::let_pass_unseen(vm_event_response_t& answer) const {
  if (!view_) return false;
  answer.flags |= VM_EVENT_FLAG_ALTERNATE_P2M | VM_EVENT_FLAG_FAST_SINGLESTEP;
  answer.altp2m_idx = kEverythingAllowed;
  answer.u.fast_singlestep.p2midx = *view_;
  return true;
}

void FrameAccess::let_pass(const std::set<uint64_t>& frames, vm_event_response_t& answer) {
  if (view_) {
    answer.flags |= VM_EVENT_FLAG_ALTERNATE_P2M;
    answer.altp2m_idx = kEverythingAllowed;
    return;
  }
  for (const uint64_t frame : frames)
    if (forbidden_.contains(frame) && !set(frame, 0))
      log::error("frame {:#x} of domain {}: {}", frame, domain_.id, errno_text(errno));
}

void FrameAccess::forbid_again(const std::set<uint64_t>& frames, vm_event_response_t& answer) {
  if (view_) {
    answer.flags |= VM_EVENT_FLAG_ALTERNATE_P2M;
    answer.altp2m_idx = *view_;
    return;
  }
  for (const uint64_t frame : frames)
    if (const auto found = forbidden_.find(frame); found != forbidden_.end() && !set(frame, found->second))
      log::error("frame {:#x} of domain {}: {}", frame, domain_.id, errno_text(errno));
}

}  // namespace furnace::hypervisor
