#include "hypervisor/xen/guard.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <set>

#include "base/helper_process.h"
#include "guest/address.h"
#include "hypervisor/xen/domain.h"
#include "hypervisor/xen/foreign_memory.h"
#include "hypervisor/xen/monitor_ring.h"

namespace furnace::hypervisor {
namespace {

/// What the guard was notified of last.
struct Charge {
  bool paused = false, monitored = false;
  bool held = false;                        // a moment more, while its monitoring ends
  bool altp2m = false;                      // was switched on by us
  uint16_t view = 0;                        // of altp2m
  std::set<uint64_t> forbidden;             // frames
  std::map<uint64_t, uint8_t> breakpoints;  // by physical address: what was there

  [[nodiscard]] bool empty() const {
    return !paused && !held && !monitored && !altp2m && view == 0 && forbidden.empty() && breakpoints.empty();
  }
};

void take(Charge& charge, const XenGuard::Message& message) {
  using Note = XenGuard::Note;
  switch (message.kind) {
    case Note::Paused:
    case Note::Resumed:
      charge.paused = message.kind == Note::Paused;
      break;
    case Note::Monitored:
    case Note::NotMonitored:
      charge.monitored = message.kind == Note::Monitored;
      break;
    case Note::Held:
    case Note::NotHeld:
      charge.held = message.kind == Note::Held;
      break;
    case Note::Altp2mOn:
    case Note::Altp2mOff:
      charge.altp2m = message.kind == Note::Altp2mOn;
      break;
    case Note::View:
      charge.view = static_cast<uint16_t>(message.number);
      break;
    case Note::Forbidden:
      charge.forbidden.insert(message.number);
      break;
    case Note::Allowed:
      charge.forbidden.erase(message.number);
      break;
    case Note::Breakpoint:
      charge.breakpoints[message.number] = message.byte;
      break;
    case Note::NoBreakpoint:
      charge.breakpoints.erase(message.number);
      break;
  }
}

void put_back(const ForeignMemory& memory, uint32_t domain, uint64_t gpa, uint8_t byte) {
  const xen_pfn_t frame = gpa / guest::kPageSize;
  int error = 0;
  const auto page = memory.map(domain, PROT_READ | PROT_WRITE, {&frame, 1}, {&error, 1});
  if (!page || error != 0) return;
  // What the guest has written there since stays.
  constexpr std::byte int3{0xcc};
  if (std::byte* const at = page->at(gpa % guest::kPageSize); *at == int3) *at = std::byte{byte};
}

void allow_everything(xc_interface& control, uint32_t domain, const Charge& charge) {
  for (const uint64_t frame : charge.forbidden)
    ::xc_set_mem_access(&control, domain, XENMEM_access_rwx, frame, 1);
  if (charge.view != 0) {
    ::xc_altp2m_switch_to_view(&control, domain, 0);
    ::xc_altp2m_destroy_view(&control, domain, charge.view);
  }
  if (charge.altp2m) ::xc_altp2m_set_domain_state(&control, domain, false);
}

/// Xen keeps a vCPU paused whose event was not answered, also when its ring was closed (common/vm_event.c):
/// it is answered on a ring of ours.
void free_monitored(xc_interface& control, uint32_t domain) {
  ::xc_monitor_disable(&control, domain);
  const auto ring = MonitorRing::open(control, domain);
  const auto seen = look_at_domain(control, domain);
  if (!ring || !seen) return;
  for (uint32_t vcpu = 0; vcpu < seen->vcpus; ++vcpu) {
    ::xc_domain_debug_control(&control, domain, XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_OFF, vcpu);
    vm_event_response_t response{};
    response.version = VM_EVENT_INTERFACE_VERSION;
    response.flags = VM_EVENT_FLAG_VCPU_PAUSED;
    response.vcpu_id = vcpu;
    (*ring)->answer(response);
    // Xen has read it when this returns: the ring holds fewer answers than there may be vCPUs.
    (*ring)->flush();
  }
}

void let_go(const Charge& charge, uint32_t domain) {
  if (charge.empty()) return;
  const auto control = open_control();
  const auto memory = ForeignMemory::open();
  if (!control || !memory) return;
  ::xc_domain_pause(control->get(), domain);
  for (const auto& [gpa, byte] : charge.breakpoints) put_back(*memory, domain, gpa, byte);
  allow_everything(**control, domain, charge);
  if (charge.monitored) free_monitored(**control, domain);
  ::xc_domain_unpause(control->get(), domain);
  // Xen counts pauses.
  for (const bool pause : {charge.paused, charge.held})
    if (pause) ::xc_domain_unpause(control->get(), domain);
}

[[noreturn]] void guard(int socket, uint32_t domain) {
  become_helper("furnace-guard", {socket});
  Charge charge;
  XenGuard::Message message{};
  while (::recv(socket, &message, sizeof message, 0) == sizeof message) take(charge, message);
  let_go(charge, domain);
  ::_exit(0);
}

}  // namespace

Result<XenGuard> XenGuard::start(uint32_t domain) {
  FURNACE_TRY(auto ends, message_socket_pair());
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) guard(ends.second.get(), domain);
  return XenGuard(std::move(ends.first), pid);
}

XenGuard::~XenGuard() {
  if (!socket_.valid()) return;
  socket_.close();
  if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
}

Status XenGuard::tell(const Message& message) {
  if (::send(socket_.get(), &message, sizeof message, MSG_NOSIGNAL) != sizeof message)
    return fail_errno("guard process");
  return {};
}

}  // namespace furnace::hypervisor
