#include "hypervisor/xen/monitor_ring.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>

#include "base/log.h"

namespace furnace::hypervisor {

Result<std::unique_ptr<MonitorRing>> MonitorRing::open(xc_interface& control, uint32_t domain) {
  std::unique_ptr<MonitorRing> made(new MonitorRing(control, domain));
  uint32_t remote = 0;
  made->page_ = ::xc_monitor_enable(&control, domain, &remote);
  if (made->page_ == nullptr) {
    if (errno == EBUSY)
      return fail(Errc::Unavailable, "another program has the monitor ring of domain {}: there is one",
                  domain);
    if (errno == ENODEV)
      return fail(Errc::Unavailable, "domain {} has no monitor events: they need hardware assisted paging",
                  domain);
    if (errno == EXDEV) return fail(Errc::Unavailable, "domain {} has a passed-through device", domain);
    return fail_errno("monitor ring of domain {}", domain);
  }
  made->channel_.reset(::xenevtchn_open(nullptr, 0));
  if (!made->channel_) return fail_errno("/dev/xen/evtchn");
  ::fcntl(made->descriptor(), F_SETFL, O_NONBLOCK);
  made->port_ = ::xenevtchn_bind_interdomain(made->channel_.get(), domain, remote);
  if (made->port_ < 0) return fail_errno("event channel of domain {}", domain);
  made->devices_.reset(::xendevicemodel_open(nullptr, 0));
  auto* const shared = static_cast<vm_event_sring_t*>(made->page_);
  SHARED_RING_INIT(shared);
  BACK_RING_INIT(&made->ring_, shared, XC_PAGE_SIZE);
  return made;
}

MonitorRing::~MonitorRing() {
  if (port_ >= 0) ::xenevtchn_unbind(channel_.get(), static_cast<evtchn_port_t>(port_));
  if (page_ == nullptr) return;
  ::munmap(page_, XC_PAGE_SIZE);
  ::xc_monitor_disable(&control_, domain_);
}

void MonitorRing::acknowledge() {
  for (int port = 0; (port = ::xenevtchn_pending(channel_.get())) >= 0;)
    ::xenevtchn_unmask(channel_.get(), static_cast<evtchn_port_t>(port));
}

std::optional<vm_event_request_t> MonitorRing::take() {
  if (!RING_HAS_UNCONSUMED_REQUESTS(&ring_)) return std::nullopt;
  vm_event_request_t request;
  std::memcpy(&request, RING_GET_REQUEST(&ring_, ring_.req_cons), sizeof request);
  ++ring_.req_cons;
  ring_.sring->req_event = ring_.req_cons + 1;
  return request;
}

void MonitorRing::answer(const vm_event_response_t& response) {
  std::memcpy(RING_GET_RESPONSE(&ring_, ring_.rsp_prod_pvt), &response, sizeof response);
  ++ring_.rsp_prod_pvt;
}

void MonitorRing::flush() {
  RING_PUSH_RESPONSES(&ring_);
  if (::xenevtchn_notify(channel_.get(), static_cast<evtchn_port_t>(port_)) != 0)
    log::warning("monitor events of domain {}: {}", domain_, errno_text(errno));
}

Status MonitorRing::hand_back_breakpoint(uint32_t vcpu, uint32_t instruction_length) {
  constexpr uint8_t vector = 3;
  constexpr uint8_t software_exception = 6;  // Intel SDM volume 3, table 25-17 (interruption types)
  constexpr uint32_t no_error_code = ~0U;
  if (!devices_)
    return fail(Errc::Unavailable, "a breakpoint of the guest's own is lost: no /dev/xen/privcmd");
  if (::xendevicemodel_inject_event(devices_.get(), static_cast<domid_t>(domain_), static_cast<int>(vcpu),
                                    vector, software_exception, no_error_code, instruction_length, 0) != 0)
    return fail_errno("a breakpoint of the guest's own is lost");
  return {};
}

}  // namespace furnace::hypervisor
