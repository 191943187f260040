// The ring of a domain's monitor events (vm_event.h): what its vCPUs did, and what becomes of it.
#pragma once

#include <optional>

#include "hypervisor/xen/handles.h"

namespace furnace::hypervisor {

struct CloseXenDevices {
  void operator()(xenevtchn_handle* channel) const { ::xenevtchn_close(channel); }
  void operator()(xendevicemodel_handle* devices) const { ::xendevicemodel_close(devices); }
};

class MonitorRing {
 public:
  /// Errc::Unavailable says why not: another program has the domain's ring, it is a PV guest's, ...
  [[nodiscard]] static Result<std::unique_ptr<MonitorRing>> open(xc_interface& control, uint32_t domain);
  MonitorRing(const MonitorRing&) = delete;
  MonitorRing& operator=(const MonitorRing&) = delete;
  /// Ends all monitoring of the domain; vCPUs that wait for an answer run on.
  ~MonitorRing();

  /// Becomes readable when there are requests.
  [[nodiscard]] int descriptor() const { return ::xenevtchn_fd(channel_.get()); }
  /// Takes note of the descriptor being readable.
  void acknowledge();
  [[nodiscard]] std::optional<vm_event_request_t> take();
  void answer(const vm_event_response_t& response);
  /// Notifies Xen of the answers.
  void flush();
  /// Gives the guest a breakpoint exception that is its own.
  [[nodiscard]] Status hand_back_breakpoint(uint32_t vcpu, uint32_t instruction_length);

 private:
  MonitorRing(xc_interface& control, uint32_t domain) : control_(control), domain_(domain) {}

  xc_interface& control_;
  uint32_t domain_;
  void* page_ = nullptr;
  vm_event_back_ring_t ring_{};
  int port_ = -1;
  std::unique_ptr<xenevtchn_handle, CloseXenDevices> channel_;
  std::unique_ptr<xendevicemodel_handle, CloseXenDevices> devices_;
};

}  // namespace furnace::hypervisor
